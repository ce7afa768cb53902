/** One generation of the engine, measured, with its limits checked beforehand. @module */
import {
  EngineError,
  type EngineEvent,
  type GenerateRequest,
  type ModelInfo,
} from "../runtime/mod.ts";
import { contextLengthError, RequestError } from "./errors.ts";
import type { Phase } from "./metrics.ts";
import type { Service } from "./service.ts";

/** The reason to abort with when an answer needs no more tokens: a stop string, or a call too many. */
export const ENOUGH: unique symbol = Symbol("enough");

/**
 * The engine's events. Ends early once `signal` is aborted.
 * @throws {RequestError} 400 for a prompt that is too long. @throws {EngineError} see `Engine.generate`.
 */
export async function* generation(
  service: Service,
  request: GenerateRequest,
  signal: AbortSignal,
): AsyncGenerator<EngineEvent> {
  const { engine, metrics } = service;
  const startedAt = performance.now();
  let phase: Phase = "prefill";
  let lastTokenAt = startedAt;
  let cached = 0;
  let tokens = 0;
  let done = false;
  try {
    for await (const event of engine.generate(request, signal)) {
      if (event.type === "prefill") cached = event.cached;
      if (event.type === "token") {
        const now = performance.now();
        if (phase === "prefill") metrics.firstToken((now - startedAt) / 1000);
        else metrics.nextToken((now - lastTokenAt) / 1000);
        phase = "decode";
        lastTokenAt = now;
        tokens++;
      }
      if (event.type === "done") {
        done = true;
        metrics.finished(event.reason);
      }
      yield event;
    }
  } catch (error) {
    metrics.rejected(error instanceof EngineError ? error.code : "internal");
    if (error instanceof EngineError && error.code === "context_length") {
      const { contextLength } = await engine.ready;
      throw contextLengthError(request.tokens.length, contextLength);
    }
    throw error;
  } finally {
    if (phase === "decode" || done) metrics.prompt(request.tokens.length, cached);
    metrics.generated(tokens);
    if (!done && signal.reason === ENOUGH) metrics.finished("stop");
    else if (!done && signal.aborted) metrics.aborted(phase);
  }
}

/** A prompt, the field it came from, and how many tokens are wanted after it. */
export interface Prompt {
  readonly field: "messages" | "prompt";
  readonly tokens: readonly number[];
  readonly wanted: number | null | undefined;
}

/**
 * How many tokens may be generated: what was asked for, or what the context has room for if that is less or -1 was asked for.
 * @throws {RequestError} 400 if the prompt leaves no room, or has ids that the model does not have.
 */
export function outputLimit({ field, tokens, wanted }: Prompt, model: ModelInfo): number {
  const room = model.contextLength - tokens.length;
  if (room < 0 || (room === 0 && wanted !== 0)) {
    throw contextLengthError(tokens.length, model.contextLength, field);
  }
  const foreign = tokens.find((id) => id >= model.vocabSize);
  if (foreign !== undefined) {
    throw new RequestError(
      400,
      `Cannot accept "${field}": token id ${foreign} is not below ${model.vocabSize}, ` +
        `the vocabulary's size`,
      { param: field, code: "invalid_value" },
    );
  }
  return wanted === -1 ? room : Math.min(room, wanted ?? room);
}
