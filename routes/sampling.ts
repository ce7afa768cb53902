/** A request's sampling fields, completed by the defaults, in the engine's terms. @module */
import type { ModelInfo, SamplingOptions } from "../runtime/mod.ts";
import { RequestError } from "./errors.ts";
import type { SamplingBody } from "./schema.ts";
import type { SamplingDefaults, Tokens } from "./service.ts";

/**
 * Resolves every sampling option.
 * @throws {RequestError} 400 if `logit_bias` names an id that the model does not have.
 */
export function samplingOf(
  body: SamplingBody,
  defaults: SamplingDefaults,
  { model, tokens }: { readonly model: ModelInfo; readonly tokens: Pick<Tokens, "size"> },
): SamplingOptions {
  const topP = body.top_p ?? defaults.topP;
  return {
    // A nucleus of no mass holds the likeliest token alone.
    temperature: topP === 0 ? 0 : body.temperature ?? defaults.temperature,
    topP: topP === 0 ? 1 : topP,
    topK: Math.max(0, body.top_k ?? defaults.topK),
    minP: body.min_p ?? defaults.minP,
    presencePenalty: body.presence_penalty ?? defaults.presencePenalty,
    frequencyPenalty: body.frequency_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? defaults.repetitionPenalty,
    seed: seedOf(body.seed),
    logitBias: logitBiasOf(body.logit_bias ?? {}, model.vocabSize),
    // Ids without text are padding, unless no id has any.
    ...tokens.size > 0 && tokens.size < model.vocabSize ? { idLimit: tokens.size } : {},
  };
}

/** The ids that end an answer: the model's own unless ignored, and the request's. */
export function stopIdsOf(body: SamplingBody, own: readonly number[]): number[] {
  return [...new Set([...(body.ignore_eos ? [] : own), ...(body.stop_token_ids ?? [])])];
}

/** The stop strings, as a list without empty ones. */
export function stopStringsOf(body: SamplingBody): string[] {
  const stop = body.stop ?? [];
  return (typeof stop === "string" ? [stop] : stop).filter((text) => text !== "");
}

/** Any integer's low 32 bits, or random ones; negative seeds ask for random ones too. */
function seedOf(seed: number | null | undefined): number {
  if (seed !== null && seed !== undefined && seed >= 0) return Number(BigInt(seed) & 0xffffffffn);
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

function logitBiasOf(
  biases: Readonly<Record<string, number>>,
  vocabSize: number,
): [number, number][] {
  return Object.entries(biases).map(([key, bias]) => {
    const id = Number(key);
    if (id < vocabSize) return [id, bias];
    throw new RequestError(
      400,
      `Cannot accept "logit_bias": token id ${id} is not below ${vocabSize}, the vocabulary's size`,
      { param: "logit_bias", code: "invalid_value" },
    );
  });
}
