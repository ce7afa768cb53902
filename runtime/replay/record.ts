/** Records the routing of a snapshot over given prompts, by the engine in this very thread. @module */
import { EngineError, type GenerateRequest } from "../contract.ts";
import { type RoutingTrace, TraceRecorder } from "../experts/trace.ts";
import { type OpenedEngine, openEngine } from "../open.ts";
import type { EngineOptions } from "../options.ts";
import { modelName, readSnapshotConfig } from "../snapshot.ts";

/** What is generated. */
export interface RecordRequest {
  readonly options: EngineOptions;
  /** Token ids of each prompt; they run one after the other. */
  readonly prompts: readonly (readonly number[])[];
  /** Tokens to generate after each prompt. */
  readonly maxTokens: number;
  readonly seed: number;
}

/**
 * The trace of all prompts with their answers, sampled at temperature 1.
 * @throws {RangeError} for a dense model
 * @throws {EngineError} if a prompt cannot be run
 */
export async function recordTrace(
  { options, prompts, maxTokens, seed }: RecordRequest,
): Promise<RoutingTrace> {
  const { config: { layers, mlp } } = readSnapshotConfig(options.model);
  if (mlp.kind === "dense") {
    throw new RangeError(`Cannot record routing: "${options.model}" has no experts`);
  }
  const model = modelName(options.model);
  const recorder = new TraceRecorder({ model, layers, experts: mlp.experts, topK: mlp.topK });
  const engine = await openEngine(options, { onRoute: recorder.onRoute });
  try {
    for (const [id, tokens] of prompts.entries()) {
      await finish(engine, id, requestFor(tokens, maxTokens, seed));
    }
  } finally {
    await engine.close();
  }
  return recorder.trace();
}

function requestFor(tokens: readonly number[], maxTokens: number, seed: number): GenerateRequest {
  return {
    tokens,
    sampling: {
      temperature: 1,
      topP: 0.95,
      topK: 0,
      minP: 0,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      seed,
      logitBias: [],
    },
    maxTokens,
    stopIds: [],
    checkpoints: [],
    owner: "",
  };
}

function finish(engine: OpenedEngine, id: number, request: GenerateRequest): Promise<void> {
  return new Promise((resolve, reject) =>
    engine.core.generate(id, request, {
      event: ({ type }) => type === "done" && resolve(),
      fail: (error: EngineError) => reject(error),
    })
  );
}
