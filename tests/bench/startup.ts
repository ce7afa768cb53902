/** The start-up part of the benchmark: the real server process, from its start to the first streamed token. @module */
import { serverState, streamAnswer } from "../../deploy/chat_client.ts";
import { median } from "../../runtime/median.ts";

/** Seconds from the start of the process, medians. */
export interface StartResult {
  readonly name: string;
  /** Whether files were in the machine's page cache. */
  readonly cache: "warm" | "cold";
  readonly runs: number;
  /** Until it answers over HTTP. */
  readonly listening: number;
  /** Until /health says that it is ready. */
  readonly ready: number;
  /** Until the first piece of a streamed answer, asked for when ready. */
  readonly firstToken: number;
}

/** What is started. */
export interface Start {
  readonly name: string;
  /** Arguments of `serve` but the port. */
  readonly args: readonly string[];
}

const RUN = new URL("../../deploy/run", import.meta.url).pathname;
const QUESTION = [{ role: "user", content: "What is 17 + 25?" }] as const;
const POLL_MS = 10;
const PATIENCE_MS = 300_000;
const DROP_CACHES = "/proc/sys/vm/drop_caches";

/** Medians of `runs` starts, after one that is not counted and warms what drivers and disks keep. */
export async function timeStarts(start: Start, runs: number): Promise<StartResult> {
  await startOnce(start);
  return await timed(start, runs, "warm");
}

/**
 * The same, each time with nothing of any file in memory.
 * @returns a reason where that cannot be had
 */
export async function timeColdStarts(start: Start, runs: number): Promise<StartResult | string> {
  const refused = dropPageCache();
  return refused ?? await timed(start, runs, "cold");
}

type Times = Pick<StartResult, "listening" | "ready" | "firstToken">;

async function timed(
  start: Start,
  runs: number,
  cache: StartResult["cache"],
): Promise<StartResult> {
  const times: Times[] = [];
  for (let run = 0; run < runs; run++) {
    if (cache === "cold") dropPageCache();
    times.push(await startOnce(start));
  }
  const middle = (key: keyof Times) => median(times.map((run) => run[key]));
  return {
    name: start.name,
    cache,
    runs,
    listening: middle("listening"),
    ready: middle("ready"),
    firstToken: middle("firstToken"),
  };
}

/** Starts the server, asks it once, and ends it. @throws {Error} with what it said if it ends by itself */
async function startOnce({ args }: Start): Promise<Times> {
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const begin = performance.now();
  const since = () => (performance.now() - begin) / 1000;
  const server = new Deno.Command(RUN, {
    args: ["serve", "--port", String(port), ...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const said = new Response(server.stderr).text();
  let ended = false;
  void server.status.then(() => ended = true);
  try {
    const until = async (reached: (state: string | null) => boolean) => {
      while (!reached(await serverState({ url }))) {
        if (ended) throw new Error(`Cannot time the start: the server ended: ${await said}`);
        if (performance.now() - begin > PATIENCE_MS) {
          throw new Error(`Cannot time the start: not ready after ${PATIENCE_MS / 1000} s`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return since();
    };
    const listening = await until((state) => state !== null);
    const ready = await until((state) => state === "ready");
    const firstToken = await firstPiece(url).then(since);
    return { listening, ready, firstToken };
  } finally {
    if (!ended) server.kill("SIGTERM");
    await server.status;
    await said;
  }
}

/** Waits for the first piece of an answer, then leaves. */
async function firstPiece(url: string): Promise<void> {
  const leave = new AbortController();
  for await (const event of streamAnswer(QUESTION, { url }, leave.signal)) {
    leave.abort();
    if (event.type !== "end") return;
  }
  throw new Error("Cannot time the first token: the answer was empty");
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Drops what the machine keeps of files in memory; says why where it may not. */
function dropPageCache(): string | null {
  try {
    Deno.writeTextFileSync(DROP_CACHES, "1");
    return null;
  } catch (error) {
    return `only root can drop the page cache of a Linux machine: ${(error as Error).message}`;
  }
}
