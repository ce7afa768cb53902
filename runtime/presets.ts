/** What applies where a request does not say how to sample: the snapshot's own words, then the model card's. @module */
import type { GenerationDefaults, ModelConfig } from "./model/config.ts";

/** Sampling values that a request may leave out. */
export interface SamplingPreset {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly repetitionPenalty: number;
}

/** Presets by kind of request. */
export interface SamplingPresets {
  /** Chat that thinks first. */
  readonly thinking: SamplingPreset;
  /** Chat that answers at once. */
  readonly instruct: SamplingPreset;
  /** Plain completion. */
  readonly completion: SamplingPreset;
}

const NEUTRAL: SamplingPreset = {
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  repetitionPenalty: 1,
};

/** The family's model cards: general use, with and without thinking. */
const CARD = {
  thinking: { temperature: 1, topP: 0.95, topK: 20, presencePenalty: 1.5 },
  instruct: { temperature: 0.7, topP: 0.8, topK: 20, presencePenalty: 1.5 },
};

/** Official mixture-of-experts members by their sizes: hidden, layers, experts, vocabulary. */
const OFFICIAL = ["2048-40-256-248320", "3072-48-256-248320", "4096-60-512-248320"];

/** The presets of a snapshot; official ones, recognised by their sizes, get their model card's on top. */
export function samplingPresets(
  config: ModelConfig,
  generation: GenerationDefaults,
): SamplingPresets {
  const { eosIds: _, ...stated } = generation;
  const own = { ...NEUTRAL, ...stated };
  if (!isOfficial(config)) return { thinking: own, instruct: own, completion: own };
  return {
    thinking: { ...own, ...CARD.thinking },
    instruct: { ...own, ...CARD.instruct },
    completion: own,
  };
}

function isOfficial({ hidden, layers, mlp, vocab, synthetic }: ModelConfig): boolean {
  return !synthetic && mlp.kind === "moe" &&
    OFFICIAL.includes([hidden, layers, mlp.experts, vocab].join("-"));
}
