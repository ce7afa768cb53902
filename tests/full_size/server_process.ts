/** The server as `deploy/run serve` starts it, in a process of its own, with the times of its start. @module */
import { OptionError } from "../../runtime/command_line.ts";
import { LIBC_PATHS } from "../../weights/mod.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A server that runs. */
export interface ServerProcess {
  readonly pid: number;
  /** "http://127.0.0.1:PORT" */
  readonly base: string;
  /** Seconds from the start of the process. */
  readonly listening: number;
  /** The same, until it answers requests. @throws {OptionError} if the process ends first */
  readonly ready: Promise<number>;
  /** What it has said on stderr so far. */
  text(): string;
  /** SIGTERM; the exit code. */
  stop(): Promise<number>;
}

/**
 * Starts `main.ts serve` on any free port, with no more permissions than deploy/run gives.
 * @throws {OptionError} with what the process said last, if it ends before it listens
 */
export async function startServer(
  model: string,
  options: readonly string[],
): Promise<ServerProcess> {
  const begin = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [...permissions(model), `${ROOT}main.ts`, "serve", ...flags(model, options)],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = new Lines(child.stderr);
  const seconds = () => (performance.now() - begin) / 1000;
  const base = (await lines.wait(/listening on (http:\S+)/))[1]!;
  const listening = seconds();
  const ready = lines.wait(/ is ready/).then(seconds);
  ready.catch(() => {}); // whoever awaits it sees the error
  return {
    pid: child.pid,
    base,
    listening,
    ready,
    text: () => lines.text,
    stop: async () => {
      child.kill("SIGTERM");
      const { code } = await child.status;
      await lines.ended;
      return code;
    },
  };
}

function permissions(model: string): string[] {
  const libc = LIBC_PATHS.find((path) => isFile(path));
  return [
    "run",
    "--quiet",
    "--frozen",
    "--cached-only",
    "--no-prompt",
    `--config=${ROOT}deno.json`,
    "--allow-net=127.0.0.1",
    `--allow-read=${ROOT},${model}`,
    "--allow-env=DELTAPAGE_*,PORT",
    ...(libc === undefined ? [] : [`--allow-ffi=${libc}`]),
  ];
}

function flags(model: string, options: readonly string[]): string[] {
  return ["--model", model, "--port", "0", "--drain", "0", ...options];
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Collects a stream of text and waits for lines in it. */
class Lines {
  text = "";
  readonly ended: Promise<void>;
  #waiting: (() => void)[] = [];
  #isOver = false;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.ended = this.#collect(stream);
  }

  /** The first match, as soon as there is one. */
  async wait(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.text.match(pattern);
      if (match) return match;
      if (this.#isOver) {
        throw new OptionError(`Cannot go on: the server ended, it said: ${this.#last()}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The last line of the server's own; the graphics driver may say something after it. */
  #last(): string {
    const lines = this.text.trimEnd().split("\n");
    return lines.findLast((line) => line.startsWith("deltapage: ")) ?? lines.at(-1)!;
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
      this.text += chunk;
      this.#wake();
    }
    this.#isOver = true;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
