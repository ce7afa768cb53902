/** Two requests at once to a server with a given budget: what they answered, and what it took. @module */
import { type Answer, ask, type Question } from "./ask.ts";
import { readMetrics } from "./metrics.ts";
import {
  PeakMemory,
  type ProcessMemory,
  type ProcessReads,
  readMemory,
  readReads,
} from "./process_memory.ts";
import { startServer } from "./server_process.ts";

/** How the server is started: "8G", or "8G:resident" to load every expert at start. */
export type Budget = string;

/** What is done with each budget. */
export interface RunRequest {
  readonly model: string;
  readonly questions: readonly Question[];
  /** Further flags of `serve`. */
  readonly flags?: readonly string[];
  readonly log: (line: string) => void;
}

/** One start of the server. Bytes and seconds unless said otherwise. */
export interface BudgetRun {
  readonly budget: Budget;
  readonly answers: readonly Answer[];
  /** What the server said of how it reads experts. */
  readonly reading: string;
  /** From the start of the process. */
  readonly seconds: {
    readonly listening: number;
    readonly ready: number;
    /** Mean of the requests. */
    readonly firstToken: number;
    /** Between two tokens of a request while all of them run. */
    readonly perToken: number;
  };
  /** GPU memory that was planned; a software GPU takes it from the process. */
  readonly planned: number;
  readonly slots: number;
  readonly experts: {
    readonly hits: number;
    readonly misses: number;
    readonly expertBytes: number;
    readonly demandBytes: number;
    readonly prefetchBytes: number;
    /** Read at start to time the ways to read. */
    readonly trialBytes: number;
    readonly stops: number;
  };
  readonly trunkBytes: number;
  /** All that was read from the snapshot, headers and embedding rows among it. */
  readonly fileBytes: number;
  readonly reads: ProcessReads;
  readonly memory: {
    readonly atReady: ProcessMemory;
    readonly atEnd: ProcessMemory;
    readonly highestAnonymous: number;
  };
}

/** The flags of `serve` that a budget stands for, and more. */
export function serveFlags(budget: Budget, flags: readonly string[]): string[] {
  const [vram = "", residency = "auto"] = budget.split(":");
  return ["--vram", vram, "--residency", residency, ...flags];
}

/** Starts the server, asks, looks at it from outside, and stops it. @throws {Error} if it does not start or stop well */
export async function runBudget(budget: Budget, request: RunRequest): Promise<BudgetRun> {
  const { model, questions, flags = [], log } = request;
  const begin = performance.now();
  const server = await startServer(model, serveFlags(budget, flags));
  using peak = new PeakMemory(server.pid);
  let ready = 0;
  try {
    ready = await server.ready;
    log(`${budget}: ready after ${ready.toFixed(1)} s`);
    const atReady = readMemory(server.pid);
    const asked = (performance.now() - begin) / 1000;
    const onToken = (count: number) => log(`${budget}: token ${count}`);
    const answers = await Promise.all(
      questions.map((question, i) => ask(server.base, question, i === 0 ? onToken : undefined)),
    );
    const metrics = await readMetrics(server.base);
    return {
      budget,
      answers,
      reading: /experts are read by (.*)/.exec(server.text())?.[1] ?? "",
      seconds: {
        listening: server.listening,
        ready,
        firstToken: asked + mean(metrics, "vllm:time_to_first_token_seconds"),
        perToken: mean(metrics, "vllm:inter_token_latency_seconds"),
      },
      ...counted(metrics),
      reads: readReads(server.pid),
      memory: { atReady, atEnd: readMemory(server.pid), highestAnonymous: peak.highest },
    };
  } finally {
    const code = await server.stop();
    if (code !== 0 && ready > 0) {
      log(`${budget}: the server ended with code ${code}\n${server.text()}`);
    }
  }
}

function counted(
  metrics: ReadonlyMap<string, number>,
): Pick<BudgetRun, "planned" | "slots" | "experts" | "trunkBytes" | "fileBytes"> {
  const value = (name: string) => metrics.get(name) ?? NaN;
  return {
    planned: value("gpu_planned_bytes"),
    slots: value("expert_slots"),
    experts: {
      hits: value("expert_cache_hits_total"),
      misses: value("expert_cache_misses_total"),
      expertBytes: value("expert_bytes"),
      demandBytes: value("expert_cache_bytes_total"),
      prefetchBytes: value("expert_prefetch_bytes_total"),
      trialBytes: value("expert_trial_bytes_total"),
      stops: value("expert_stops_total"),
    },
    trunkBytes: value("trunk_bytes_total"),
    fileBytes: value("file_bytes_total"),
  };
}

/** Of a histogram. A stream says less: tokens that end no character are held back. */
function mean(metrics: ReadonlyMap<string, number>, name: string): number {
  return metrics.get(`${name}_sum`)! / metrics.get(`${name}_count`)!;
}
