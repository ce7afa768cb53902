/** The plainest request there is, for tests to change. @module */
import type { GenerateRequest } from "../runtime/contract.ts";

/** A greedy request for `tokens`; tests change what they are about. */
export function greedy(
  tokens: readonly number[],
  changes: Partial<GenerateRequest> = {},
): GenerateRequest {
  return {
    tokens,
    sampling: {
      temperature: 0,
      topP: 1,
      topK: 0,
      minP: 0,
      presencePenalty: 0,
      frequencyPenalty: 0,
      repetitionPenalty: 1,
      seed: 1,
      logitBias: [],
    },
    maxTokens: 8,
    stopIds: [],
    checkpoints: [],
    owner: "",
    ...changes,
  };
}
