/**
 * Web requests and responses over HTTP/1.1 sockets. Deno.serve would be shorter, but where a request is longer
 * than its first packet it does not notice that the client has left until the response has begun.
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errorBody, RequestError } from "./errors.ts";

/** Answers one request; its signal is aborted when the client leaves before it has the whole answer. */
export type Answerer = (request: Request) => Response | Promise<Response>;

/** An open socket. */
export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Takes no more connections; resolves when those there are have ended, by force after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** An address that cannot be listened on. */
export class ListenError extends Error {
  override name = "ListenError";
}

/** How long a connection may wait for its next request; longer than clients and proxies keep theirs. */
const IDLE_MS = 75_000;
/** How long a client may go on sending a request that has been refused already. */
const DISCARD_MS = 10_000;

/**
 * Listens; port 0 takes any free one.
 * @throws {ListenError} if the address is in use, is not this machine's or is not allowed
 */
export async function listen(answer: Answerer, host: string, port: number): Promise<Listener> {
  const server = createServer((incoming, outgoing) => void exchange(answer, incoming, outgoing));
  server.keepAliveTimeout = IDLE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ message }: Error) =>
      reject(
        new ListenError(
          `Cannot listen on ${host} port ${port}: ${message}; choose others with --host and --port`,
        ),
      ));
    server.listen(port, addressOf(host), resolve);
  });
  const address = server.address() as { readonly address: string; readonly port: number };
  return {
    host: address.address,
    port: address.port,
    close: async (graceMs) => {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Looking a name up would need the permission for an address that nobody can know beforehand. */
function addressOf(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host.replace(/^\[(.*)\]$/, "$1");
}

async function exchange(
  answer: Answerer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  outgoing.on("close", () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  outgoing.on("error", () => gone.abort());
  const request = requestOf(incoming, gone.signal);
  try {
    const response = request ? await answer(request) : unreadable();
    if (response.ok || incoming.complete) await send(response, outgoing, gone.signal);
    else await refuse(response, incoming, outgoing);
  } catch (error) {
    if (!gone.signal.aborted) console.error(error);
    outgoing.destroy();
  }
}

/** Null where the target is no path, or the method is one that the Fetch standard forbids. */
function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request | null {
  const { method = "GET", url = "/", rawHeaders } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  try {
    const headers = new Headers();
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    }
    return new Request(new URL(url, "http://localhost"), {
      method,
      headers,
      signal,
      ...(hasBody ? { body: ReadableStream.from(bodyOf(incoming)) } : {}),
    });
  } catch {
    return null;
  }
}

async function* bodyOf(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    yield* incoming.iterator({ destroyOnReturn: false });
  } catch {
    throw new DOMException("The client left before its request was complete", "AbortError");
  }
}

function unreadable(): Response {
  const message = "Cannot read the request: its target, method or headers are not valid";
  return Response.json(errorBody(new RequestError(400, message)), { status: 400 });
}

/**
 * Writes a response to a request that is still being sent. Clients write all of it before they read, and may use the
 * connection again: what is left is read and dropped, and the connection stays open until then. The response tells its
 * length, for clients that do stop early.
 */
async function refuse(
  response: Response,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers, ["content-length", `${body.length}`]];
  outgoing.writeHead(response.status, headers.flat());
  outgoing.write(body);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => incoming.destroy(), DISCARD_MS);
  for (const event of ["end", "close", "error"]) incoming.on(event, resolve);
  // Somebody may have begun to read, so that it would not flow by itself.
  const drop = () => {
    while (incoming.read() !== null);
  };
  incoming.on("readable", drop);
  drop();
  await ended;
  clearTimeout(timer);
  outgoing.end();
}

/** Writes the response as fast as the client reads it, and cancels its body when the client leaves. */
async function send(
  response: Response,
  outgoing: ServerResponse,
  gone: AbortSignal,
): Promise<void> {
  if (gone.aborted) return await response.body?.cancel();
  outgoing.writeHead(response.status, [...response.headers].flat());
  outgoing.flushHeaders();
  const reader = response.body?.getReader();
  if (!reader) return void outgoing.end();
  const cancel = () => void reader.cancel().catch(() => {});
  gone.addEventListener("abort", cancel, { once: true });
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    if (!outgoing.write(next.value)) await drained(outgoing, gone);
  }
  gone.removeEventListener("abort", cancel);
  outgoing.end();
}

/** Resolves when more may be written, or nobody is there to read it. */
function drained(outgoing: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      outgoing.off("drain", go);
      gone.removeEventListener("abort", go);
      resolve();
    };
    outgoing.on("drain", go);
    gone.addEventListener("abort", go);
  });
}
