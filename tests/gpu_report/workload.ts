/** What an engine is asked while it is timed. @module */
import type { OpenedEngine } from "../../runtime/open.ts";
import { complete, greedy } from "../engine_fixture.ts";
import { integers } from "../pattern.ts";

/** Tokens of a short prompt. */
export const PROMPT = 64;

/** One engine with prompts that no earlier one is a prefix of. */
export class Workload {
  readonly #engine: OpenedEngine;
  readonly #vocab: number;
  #salt = 100;

  constructor(engine: OpenedEngine, vocab: number) {
    this.#engine = engine;
    this.#vocab = vocab;
  }

  /** Times of the tokens, seconds from the request on. */
  async run(promptTokens: number, maxTokens: number): Promise<number[]> {
    const salt = this.#salt++;
    const request = greedy([...integers(promptTokens, this.#vocab, salt)], { maxTokens });
    const times: number[] = [];
    const start = performance.now();
    const sampling = { ...request.sampling, temperature: 1, seed: salt };
    await complete(this.#engine, { ...request, sampling }, (event) => {
      if (event.type === "token") times.push((performance.now() - start) / 1000);
    });
    return times;
  }

  /** Log-probabilities of a prompt that is the same in every run. */
  async logprobs(): Promise<readonly number[]> {
    const prompt = [...integers(PROMPT, this.#vocab, 7)];
    const request = greedy(prompt, { maxTokens: 0, promptLogprobs: 0 });
    return (await complete(this.#engine, request)).promptLogprobs;
  }

  /** Counters of experts that were found and that had to come in, and their bytes. */
  experts(): { readonly hits: number; readonly misses: number; readonly bytes: number } {
    const { hits = 0, misses = 0, bytes = 0 } = this.#engine.counters().values;
    return { hits, misses, bytes };
  }
}
