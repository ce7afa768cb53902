/** Requests that an engine is timed with. @module */
import type { OpenedEngine } from "../../runtime/open.ts";
import { complete, greedy } from "../engine_fixture.ts";
import { integers } from "../pattern.ts";
import { cpuSeconds } from "./cpu_time.ts";
import { decodeRate } from "./timing.ts";

/** Tokens of the prompts before decoding without a context. */
const SHORT_PROMPT = 8;
/** Decoding is timed for so long, within bounds. */
const DECODE_MS = 1000;
const FEWEST_STEPS = 6;
const MOST_STEPS = 256;

/** Prompts of random tokens, no earlier one a prefix of a later one, and how fast they run. */
export class Workload {
  readonly #engine: OpenedEngine;
  readonly #vocab: number;
  #salt = 100;
  /** Steps that take about `DECODE_MS`, by number of sequences. */
  readonly #steps = new Map<number, number>();

  constructor(engine: OpenedEngine, vocab: number) {
    this.#engine = engine;
    this.#vocab = vocab;
  }

  /** Tokens a second of `sequences` sequences that decode together after short prompts. */
  async decode(sequences: number): Promise<number> {
    const steps = this.#steps.get(sequences);
    const rate = await this.#decode(sequences, steps ?? FEWEST_STEPS);
    if (steps !== undefined) return rate;
    const fitting = Math.round(DECODE_MS / 1000 * rate / sequences);
    this.#steps.set(sequences, Math.max(FEWEST_STEPS, Math.min(MOST_STEPS, fitting)));
    return fitting > 2 * FEWEST_STEPS ? await this.decode(sequences) : rate;
  }

  /** Steps of a run that decodes so many sequences, those of their prompts among them. */
  stepsOf(sequences: number): number {
    return 1 + 2 * sequences + (this.#steps.get(sequences) ?? FEWEST_STEPS);
  }

  /** The processor time of a token of one sequence, after `decode(1)`; null where that cannot be told. */
  async decodeWithCpu(): Promise<{ readonly rate: number; readonly cpuSeconds: number | null }> {
    const steps = this.#steps.get(1) ?? FEWEST_STEPS;
    const [times, cpu]: [number[], (number | null)[]] = [[], []];
    await this.#run(this.#tokens(SHORT_PROMPT), 2 + steps, () => {
      times.push(performance.now());
      cpu.push(cpuSeconds());
    });
    const [from, to] = [cpu[1]!, cpu.at(-1)!];
    return {
      rate: decodeRate([times]),
      cpuSeconds: from === null || to === null ? null : (to - from) / (cpu.length - 2),
    };
  }

  /**
   * Tokens a second of one sequence that decodes after `context` tokens. They are not computed: the cache is told that a
   * sequence of so many tokens has run, so keys and values are whatever lies in its pages; that takes attention as long.
   * @throws {Error} if the cache has no room for them
   */
  async decodeAfter(context: number): Promise<number> {
    if (context === 0) return await this.decode(1);
    const tokens = this.#tokens(context);
    const { cache } = this.#engine.runner;
    const admitted = cache.admit(tokens, "", false);
    if (!admitted) {
      throw new Error(`Cannot place a context of ${context} tokens: the cache is full`);
    }
    cache.advanced(admitted.state);
    cache.checkpoint(admitted.state, tokens, "");
    cache.release(admitted.state);
    const times: number[] = [];
    const steps = this.#steps.get(1) ?? FEWEST_STEPS;
    const cached = await this.#run([...tokens, 1], 2 + steps, () => times.push(performance.now()));
    if (cached !== context) {
      throw new Error(`Cannot time a context of ${context} tokens: ${cached} of them were kept`);
    }
    return decodeRate([times]);
  }

  /** Seconds from a prompt of so many tokens to its first token. */
  async prefill(tokens: number): Promise<number> {
    const start = performance.now();
    let first = NaN;
    await this.#run(this.#tokens(tokens), 1, () => first = performance.now());
    return (first - start) / 1000;
  }

  /** Dispatches of a step that decodes one token. */
  async dispatches(): Promise<number> {
    const values: Readonly<Record<string, number>>[] = [];
    await this.#run(this.#tokens(4), 3, () => values.push(this.#engine.counters().values));
    return values[2]!.dispatches! - values[1]!.dispatches!;
  }

  async #decode(sequences: number, steps: number): Promise<number> {
    const times = Array.from({ length: sequences }, (): number[] => []);
    await Promise.all(times.map((own) =>
      // Prompts and decoding take turns: the first sequence decodes while the others' prompts are computed.
      this.#run(
        this.#tokens(SHORT_PROMPT),
        1 + sequences + steps,
        () => own.push(performance.now()),
      )
    ));
    return decodeRate(times);
  }

  #tokens(length: number): number[] {
    return [...integers(length, this.#vocab, this.#salt++)];
  }

  /** Runs a request; returns how many tokens of the prompt came from a checkpoint. */
  async #run(tokens: readonly number[], maxTokens: number, onToken: () => void): Promise<number> {
    const request = greedy(tokens, { maxTokens });
    const sampling = { ...request.sampling, temperature: 1, seed: this.#salt };
    const { usage } = await complete(this.#engine, { ...request, sampling }, (event) => {
      if (event.type === "token") onToken();
    });
    return usage.cachedTokens;
  }
}
