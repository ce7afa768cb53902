/** Random lives of sequences in the engine's loop over the real cache: what is reported, and what is left behind. @module */
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import type { EngineEvent, GenerateRequest } from "../../../runtime/contract.ts";
import { EngineCore, type Runner, type StepResult } from "../../../runtime/engine/core.ts";
import type { Sample } from "../../../runtime/engine/sequence.ts";
import type { Step, StepSegment } from "../../../runtime/engine/step.ts";
import { PAGE_TOKENS } from "../../../runtime/model/parts.ts";
import { HybridCache } from "../../../runtime/state/hybrid_cache.ts";
import { greedy } from "../../greedy.ts";
import { FakeMemory } from "../state/fake_memory.ts";

const STOP_ID = 7;
const CONTEXT = 200;
const MAX_SEQUENCES = 4;
const SEEDS = 40;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Numbers in [0, 1) that follow from a seed. */
function randomFrom(seed: number): () => number {
  let state = seed * 0x9e3779b1 | 0;
  return () => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + 0x6b43a9b5 | 0;
    return (Math.imul(state ^ state >>> 12, 0x297a2d39) >>> 8) / 2 ** 24;
  };
}

/** The token after these: any function of all of them, and a stop now and then. */
function nextToken(tokens: readonly number[]): number {
  const hash = tokens.reduce((sum, token) => Math.imul(sum ^ token, 0x85ebca6b) ^ sum >>> 13, 1);
  return (hash >>> 8) % 61;
}

/** What a request comes to if nothing disturbs it. */
function expected({ tokens, maxTokens, stopIds }: GenerateRequest): number[] {
  const all = [...tokens];
  while (all.length - tokens.length < maxTokens && all.length < CONTEXT) {
    all.push(nextToken(all));
    if (stopIds.includes(all.at(-1)!)) break;
  }
  return all.slice(tokens.length);
}

/** Computes on `FakeMemory`, which compares every state and every KV it reads with the tokens that led there. */
class MemoryRunner implements Runner {
  readonly #memory: FakeMemory;
  readonly #random: () => number;
  /** By sampler slot: prompt and samples so far. */
  readonly #tokens: number[][] = [];
  ahead = 1;
  /** What went wrong in a step: nobody else would tell. */
  fault: unknown = null;

  constructor(memory: FakeMemory, random: () => number) {
    this.#memory = memory;
    this.#random = random;
  }

  stepsAhead(): number {
    return this.ahead;
  }

  prepareSampler(slot: number, _request: GenerateRequest, tokens: readonly number[]): void {
    this.#tokens[slot] = [...tokens];
  }

  async run(step: Step): Promise<StepResult> {
    // Cancels arrive while a step is under way, saves before or after it.
    if (this.#random() < 0.3) await turn();
    if (this.#random() < 0.5) await this.#memory.settle(this.#random() < 0.1 ? "fail" : "arrive");
    if (this.#random() < 0.004) throw new Error("a step failed");
    try {
      return this.#compute(step);
    } catch (error) {
      this.fault ??= error;
      throw error;
    }
  }

  #compute({ segments, heads, ahead }: Step): StepResult {
    const failed = new Map<number, unknown>();
    const rows = segments.map(({ tokens }) => tokens.length);
    for (const [index, segment] of segments.entries()) {
      if (this.#random() < 0.003) failed.set(index, new Error("a segment failed"));
      else this.#runRows(segment, segment.context, segment.context + rows[index]!);
    }
    const ended = new Set<StepSegment>();
    const round = (later: number) =>
      heads.map(({ row }): Sample => {
        const index = rows.findIndex((_, i) => row < sum(rows.slice(0, i + 1)));
        const segment = segments[index]!;
        if (failed.has(index) || ended.has(segment)) return NOTHING;
        const at = segment.context + rows[index]! + later;
        if (later > 0) this.#runRows({ ...segment, stateRead: segment.stateWrite }, at - 1, at);
        const sample = this.#sample(segment);
        const limit = ahead?.limits[index];
        if (limit && (limit.left === later + 1 || limit.stopIds.includes(sample.id))) {
          ended.add(segment);
        }
        return sample;
      });
    const [samples, ...further] = Array.from({ length: ahead?.steps ?? 1 }, (_, i) => round(i));
    return { samples: samples!, ...(ahead && { further }), failed };
  }

  #runRows(segment: StepSegment, from: number, to: number): void {
    const all = this.#tokens[segment.sampler]!;
    const known = segment.tokens.slice(0, Math.max(0, to - segment.context));
    assertEquals(all.slice(segment.context, segment.context + known.length), known);
    assert(segment.pages.length * PAGE_TOKENS >= to, "a row has no page");
    this.#memory.run(segment, all, from, to);
  }

  #sample({ sampler }: StepSegment): Sample {
    const all = this.#tokens[sampler]!;
    const id = nextToken(all);
    all.push(id);
    return { id, logprob: -1, nan: false };
  }
}

/** Stands where a sequence has ended or failed; it must not be looked at. */
const NOTHING: Sample = { id: 999, logprob: 0, nan: false };

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** What became of one request. */
interface Fate {
  readonly request: GenerateRequest;
  readonly tokens: number[];
  cancelled: boolean;
  ending: "done" | "failed" | null;
}

/** Many requests with many ends; `arenas` of few pages, so that running sequences give way. */
class World {
  readonly random: () => number;
  readonly memory: FakeMemory;
  readonly cache: HybridCache;
  readonly runner: MemoryRunner;
  readonly core: EngineCore;
  readonly fates: Fate[] = [];

  constructor(seed: number) {
    this.random = randomFrom(seed);
    const ahead = this.random() < 0.3 ? 1 : 1 + Math.floor(this.random() * 9);
    const pages = Math.ceil(CONTEXT / PAGE_TOKENS) + Math.floor(this.random() * 12);
    const arenaPages = this.random() < 0.5 ? [pages] : [pages, pages];
    const stateSlots = (ahead > 1 ? 3 : 2) * MAX_SEQUENCES;
    this.memory = new FakeMemory(stateSlots, arenaPages, PAGE_TOKENS);
    const byteLimit = Math.floor(this.random() * 8000);
    const parts = { arenaPages, pageTokens: PAGE_TOKENS, stateSlots, copies: this.memory };
    this.cache = new HybridCache({ ...parts, byteLimit, pasts: ahead > 1 ? 1 : 0 });
    this.runner = new MemoryRunner(this.memory, this.random);
    this.runner.ahead = ahead;
    const limits = { maxSequences: MAX_SEQUENCES, maxWaiting: 4, contextLength: CONTEXT };
    this.core = new EngineCore(this.runner, this.cache, { ...limits, chunkRows: 40 });
  }

  below(most: number): number {
    return Math.floor(this.random() * most);
  }

  /** Goes on from an earlier answer, or begins anew; two owners. */
  ask(): void {
    const earlier = this.fates[this.below(this.fates.length * 2)];
    const start = earlier ? [...earlier.request.tokens, ...earlier.tokens].slice(0, 120) : [];
    const tokens = [...start, ...Array.from({ length: 1 + this.below(40) }, () => this.below(50))];
    const request = greedy(tokens, {
      maxTokens: 1 + this.below(150),
      stopIds: this.random() < 0.7 ? [STOP_ID] : [],
      checkpoints: [this.below(tokens.length), tokens.length - 1].filter((at) => at > 0).toSorted((
        a,
        b,
      ) => a - b),
      owner: this.random() < 0.8 ? "" : "other",
    });
    const id = this.fates.length;
    const fate: Fate = { request, tokens: [], cancelled: false, ending: null };
    this.fates.push(fate);
    this.core.generate(id, request, {
      event: (event: EngineEvent) => {
        assert(!fate.cancelled && fate.ending === null, "an event after the end");
        if (event.type === "token") fate.tokens.push(event.id);
        if (event.type === "done") fate.ending = "done";
        if (event.type === "token" && this.random() < 0.005) this.cancel(id);
      },
      fail: () => {
        assert(fate.ending === null, "a second end");
        fate.ending = "failed";
      },
    });
  }

  cancel(id: number): void {
    const fate = this.fates[id];
    if (!fate || fate.ending !== null) return;
    fate.cancelled = true;
    this.core.cancel(id, this.random() < 0.5 ? Infinity : this.below(fate.tokens.length + 1));
  }

  async live(requests: number): Promise<void> {
    void this.core.start();
    while (this.fates.length < requests) {
      // Now and then more than may wait.
      if (this.random() < (this.core.load().waiting < 3 ? 0.2 : 0.001)) this.ask();
      if (this.random() < 0.01) this.cancel(this.below(this.fates.length));
      await turn();
    }
    while (this.core.load().running + this.core.load().waiting > 0) {
      await turn();
      if (this.runner.fault !== null) break;
    }
    await this.core.stop();
  }

  /** Pages and slots that nobody gave back once every checkpoint is dropped. */
  leaks(): number {
    const { checkpoints, pages, slots } = this.cache;
    for (const entry of [...checkpoints.entries()]) {
      assertEquals(entry.pins, 0);
      checkpoints.drop(entry);
    }
    const free = sum(Array.from({ length: pages.arenas }, (_, arena) => pages.free(arena)));
    return pages.total() - free + slots.total - slots.free;
  }
}

Deno.test("EngineCore over HybridCache ends every request once and right, and leaves nothing behind", async () => {
  const ends = { done: 0, failed: 0, cancelled: 0, preempted: 0, cached: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World(seed);
    await world.live(30);
    if (world.runner.fault !== null) throw world.runner.fault;
    for (const [id, { request, tokens, cancelled, ending }] of world.fates.entries()) {
      const title = `request ${id} of seed ${seed}`;
      const wanted = expected(request);
      assertEquals(tokens, ending === "done" ? wanted : wanted.slice(0, tokens.length), title);
      assert(cancelled || ending !== null, `${title} was forgotten`);
      ends[cancelled ? "cancelled" : ending!]++;
    }
    assertEquals(world.leaks(), 0, `seed ${seed}`);
    ends.preempted += world.core.counters.preempted;
    ends.cached += world.core.counters.cachedTokens;
  }
  // All of it has happened.
  for (const [what, count] of Object.entries(ends)) assert(count > 0, `nothing was ${what}`);
});
