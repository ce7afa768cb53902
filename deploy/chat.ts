/**
 * Talks to the model in the terminal, streaming: thinking is dimmed, the speed stands at the end, Ctrl-C
 * stops an answer. Starts a server of its own if none answers.
 *
 *     deploy/run chat [--url URL] [--system TEXT] [--no-think] [options of serve]
 *
 * @module
 */
import { TextLineStream } from "@std/streams";
import {
  type ChatClientOptions,
  ChatError,
  serverState,
  streamAnswer,
  type Turn,
} from "./chat_client.ts";

const USAGE = `Usage: deploy/run chat [options]

  --url URL        a server that runs already; one is started unless it, or --host and --port, answer
  --system TEXT    the system message
  --no-think       answer at once; --think asks for thinking
  others           options of serve, for the server that is started: deploy/run serve --help

DELTAPAGE_API_KEY is sent as the key.`;
const HELP = "/reset starts a new conversation, /exit ends; Ctrl-C stops an answer";

/** What the command line asks for. */
export interface ChatArguments {
  readonly client: ChatClientOptions;
  readonly system: string | null;
  /** Whether a server was named, so that none is started. */
  readonly remote: boolean;
  /** Everything else: options for a server of our own. */
  readonly serve: readonly string[];
}

/**
 * Reads the command line; `env` gives DELTAPAGE_API_KEY, and host and port unless set.
 * @throws {ChatError} if the server's address is none
 */
export function parseChatArguments(
  args: readonly string[],
  env: (name: string) => string | undefined,
): ChatArguments {
  const serve: string[] = [];
  const own = new Map<string, string>();
  let think: boolean | undefined;
  for (let i = 0; i < args.length; i++) {
    const [name = "", inline] = splitOption(args[i]!);
    if (name === "--no-think") think = false;
    else if (name === "--think") think = true;
    else if (name === "--url" || name === "--system") own.set(name, inline ?? args[++i] ?? "");
    else {
      serve.push(args[i]!);
      if (name === "--host" || name === "--port") own.set(name, inline ?? args[i + 1] ?? "");
    }
  }
  const host = own.get("--host") ?? env("DELTAPAGE_HOST") ?? "127.0.0.1";
  const port = own.get("--port") ?? env("DELTAPAGE_PORT") ?? env("PORT") ?? "8080";
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const address = reachable.includes(":") ? `[${reachable}]` : reachable;
  return {
    client: {
      url: serverUrl(own.get("--url") ?? `http://${address}:${port}`),
      apiKey: env("DELTAPAGE_API_KEY"),
      enableThinking: think,
    },
    system: own.get("--system") ?? null,
    remote: own.has("--url"),
    serve,
  };
}

/** A server's address without what clients put behind it. */
function serverUrl(text: string): string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (text === "" || url === null || !["http:", "https:"].includes(url.protocol)) {
    throw new ChatError(
      `Cannot use the address "${text}": wanted one such as http://127.0.0.1:8080`,
    );
  }
  return url.href.replace(/\/+(v1\/*)?$/, "");
}

/** A conversation that remembers its turns and writes its answers. */
export class Conversation {
  readonly #client: ChatClientOptions;
  readonly #start: readonly Turn[];
  readonly #write: (text: string) => void;
  readonly #dim: (text: string) => string;
  #turns: Turn[] = [];

  /** @param color Whether thinking may be dimmed by terminal codes. */
  constructor(
    { client, system }: Pick<ChatArguments, "client" | "system">,
    write: (text: string) => void,
    { color }: { readonly color: boolean },
  ) {
    this.#client = client;
    this.#start = system === null ? [] : [{ role: "system", content: system }];
    this.#write = write;
    this.#dim = (text) => color ? `\x1b[2m${text}\x1b[22m` : text;
    this.reset();
  }

  /** All turns so far, the system prompt first. */
  get turns(): readonly Turn[] {
    return this.#turns;
  }

  /** Forgets everything but the system prompt. */
  reset(): void {
    this.#turns = [...this.#start];
  }

  /** Asks and writes the answer as it comes. An answer that was stopped stays as far as it came. */
  async ask(question: string, signal: AbortSignal): Promise<void> {
    const asked: Turn[] = [...this.#turns, { role: "user", content: question }];
    let [content, last] = ["", ""];
    try {
      for await (const event of streamAnswer(asked, this.#client, signal)) {
        if (event.type === "end") {
          const speed = event.tokensPerSecond?.toFixed(1) ?? "?";
          const cut = event.reason === "length" ? ", cut at the limit" : "";
          this.#write(this.#dim(`\n[${event.tokens} tokens, ${speed} tokens/s${cut}]`));
          continue;
        }
        if (last === "reasoning" && event.type !== "reasoning") this.#write("\n\n");
        last = event.type;
        if (event.type === "content") content += event.text;
        const text = harmless(event.text);
        this.#write(event.type === "content" ? text : this.#dim(text));
      }
      if (signal.aborted) this.#write(this.#dim(" [stopped]"));
    } catch (error) {
      if (!(error instanceof ChatError)) throw error;
      this.#write(`\n${error.message}`);
    }
    this.#write("\n");
    if (content !== "") this.#turns = [...asked, { role: "assistant", content }];
  }
}

/** A model's text must not steer the terminal: control characters but line break and tab become dots. */
function harmless(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "·");
}

function splitOption(argument: string): [string, string | undefined] {
  const equals = argument.indexOf("=");
  if (!argument.startsWith("--") || equals < 0) return [argument, undefined];
  return [argument.slice(0, equals), argument.slice(equals + 1)];
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += Deno.stdout.writeSync(bytes.subarray(written));
  }
}

/** Waits until the server is ready; starts one first if none answers and none was named. */
async function reachServer(
  { client, remote, serve }: ChatArguments,
  onStart: (child: Deno.ChildProcess) => void,
): Promise<void> {
  let state = await serverState(client);
  let ended = false;
  if (state === null) {
    if (remote) throw new ChatError(`Cannot reach ${client.url}: nothing answers`);
    const child = startServer(serve);
    onStart(child);
    child.status.then(() => ended = true);
  } else if (state !== "ready") console.error(`The server is not ready: ${state}`);
  while (state !== "ready") {
    if (ended) throw new ChatError("Cannot chat: the server did not start, see above");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = state;
    state = await serverState(client);
    // Our own may not listen yet; another one has gone.
    if (state === null && before !== null) {
      throw new ChatError(`Cannot chat: ${client.url} does not answer any more`);
    }
  }
}

/** A server in a process group of its own, so that Ctrl-C reaches only this program. */
function startServer(args: readonly string[]): Deno.ChildProcess {
  console.error("No server answers: starting one");
  return new Deno.Command(new URL("./run", import.meta.url).pathname, {
    args: ["serve", ...args],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
    detached: true,
  }).spawn();
}

async function main(): Promise<never> {
  if (Deno.args.includes("--help")) {
    console.log(USAGE);
    Deno.exit(0);
  }
  const options = parseChatArguments(Deno.args, (name) => Deno.env.get(name));
  let answer: AbortController | null = null;
  let server: Deno.ChildProcess | null = null;
  const end = (code: number): never => {
    try {
      server?.kill("SIGTERM");
    } catch { /* it has ended already */ }
    Deno.exit(code);
  };
  Deno.addSignalListener("SIGINT", () => answer ? answer.abort() : end(130));
  Deno.addSignalListener("SIGTERM", () => end(143));
  await reachServer(options, (child) => server = child);
  const terminal = Deno.stdin.isTerminal();
  const color = Deno.stdout.isTerminal() && !Deno.noColor;
  const conversation = new Conversation(options, print, { color });
  print(`Talking to ${options.client.url}. ${HELP}\n\n> `);
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).pipeThrough(
    new TextLineStream(),
  );
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/exit" || text === "/quit") break;
    if (!terminal && text !== "") print(`${text}\n`);
    if (text === "/reset") {
      conversation.reset();
      print("A new conversation.\n");
    } else if (text === "/help") print(`${HELP}\n`);
    else if (text !== "") {
      answer = new AbortController();
      await conversation.ask(text, answer.signal);
      answer = null;
    }
    print("\n> ");
  }
  print("\n");
  return end(0);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    console.error(`deltapage: ${error.message}`);
    Deno.exit(1);
  }
}
