/** A chat server that answers as it is told. @module */

/** What was asked, and how to answer. */
export interface ChatServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: { readonly body: Record<string, unknown>; readonly auth: string | null }[];
  /** The lines of the next answers' event stream; a number is a pause in milliseconds. */
  answer: readonly (string | number)[];
  /** Status and body of the next answers instead of a stream. */
  refusal: [number, string] | null;
}

/** One `data:` line of a stream. */
export function data(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

/** A chunk with one delta. */
export function delta(delta: unknown, finish: string | null = null): string {
  return data({ choices: [{ index: 0, delta, finish_reason: finish }] });
}

/** Serves on a free port until disposed. */
export function startChatServer(): ChatServer {
  const requests: ChatServer["requests"] = [];
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/health") return Response.json({ status: "ok" });
      if (request.method === "GET") return new Response("no such page", { status: 404 });
      requests.push({ body: await request.json(), auth: request.headers.get("authorization") });
      if (self.refusal) return new Response(self.refusal[1], { status: self.refusal[0] });
      return new Response(stream(self.answer), {
        headers: { "content-type": "text/event-stream" },
      });
    },
  );
  const self: ChatServer = {
    url: `http://127.0.0.1:${server.addr.port}`,
    requests,
    answer: [],
    refusal: null,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
  return self;
}

function stream(lines: readonly (string | number)[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      const line = lines[at++];
      if (line === undefined) return controller.close();
      if (typeof line === "number") await new Promise((resolve) => setTimeout(resolve, line));
      else controller.enqueue(encoder.encode(line));
    },
  });
}
