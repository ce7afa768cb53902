/** Opens the real engine in the test's own thread and collects what generations yield. @module */
import type { EngineEvent, GenerateRequest, ScoredToken, Usage } from "../runtime/contract.ts";
import { EngineError } from "../runtime/contract.ts";
import { type OpenedEngine, openEngine, type OpenHooks } from "../runtime/open.ts";
import type { EngineOptions } from "../runtime/options.ts";

export { greedy } from "./greedy.ts";

/** Options of a small engine; tests change what they are about. */
export const TEST_OPTIONS: Omit<EngineOptions, "model"> = {
  vram: "1G",
  maxSequences: 4,
  context: 2048,
  kv: "f32",
  head: "stored",
  stateCacheBytes: 2 ** 26,
  maxWaiting: 64,
  chunkRows: 512,
  cacheDir: null,
  kernels: "auto",
  residency: "auto",
  runAhead: 1,
  expertIo: "auto",
  lookAhead: "off",
  warm: null,
};

/** What one generation came to. */
export interface Completion {
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
  /** Alternatives of each token, as asked for. */
  readonly tops: readonly (readonly ScoredToken[])[];
  /** Of prompt tokens 1..n-1. */
  readonly promptLogprobs: readonly number[];
  readonly reason: string;
  readonly usage: Usage;
}

let nextId = 1;

/** Opens a snapshot; close the engine at the end of the test. */
export function openTestEngine(
  model: string,
  options: Partial<EngineOptions> = {},
  hooks: OpenHooks = {},
): Promise<OpenedEngine> {
  return openEngine({ ...TEST_OPTIONS, model, ...options }, hooks);
}

/** Runs one generation to its end. @throws {EngineError} if it fails */
export function complete(
  engine: OpenedEngine,
  request: GenerateRequest,
  onEvent: (event: EngineEvent, cancel: () => void) => void = () => {},
): Promise<Completion> {
  const id = nextId++;
  const tokens: ScoredToken[] = [];
  const tops: (readonly ScoredToken[])[] = [];
  let promptLogprobs: number[] = [];
  return new Promise((resolve, reject) =>
    engine.core.generate(id, request, {
      event: (event) => {
        onEvent(event, () => engine.core.cancel(id));
        if (event.type === "prompt_scores") {
          promptLogprobs = event.scores.map(({ logprob }) => logprob);
        }
        if (event.type === "token") {
          tokens.push(event);
          if (event.top) tops.push(event.top);
        }
        if (event.type !== "done") return;
        resolve({
          tokens: tokens.map(({ id }) => id),
          logprobs: tokens.map(({ logprob }) => logprob),
          tops,
          promptLogprobs,
          reason: event.reason,
          usage: event.usage,
        });
      },
      fail: (error: EngineError) => reject(error),
    })
  );
}
