/**
 * Brings the experts that a step needs into the slots of their layer, wave by wave. Knows neither files nor
 * GPU: `load` moves the bytes, `writeTable` tells the GPU. README.md has the protocol.
 * @module
 */
import { LruPolicy, type PolicyFactory } from "./policy.ts";
import { SlotPool } from "./slot_pool.ts";
import { planWaves, type WavePlan } from "./waves.ts";

/** Sizes and the two callbacks. */
export interface PagerOptions {
  readonly layers: number;
  /** Experts of a layer. */
  readonly experts: number;
  /** Slots of a layer: at least `topK`, at most `experts`. */
  readonly slots: number;
  readonly topK: number;
  /**
   * Moves one expert into a slot and returns the bytes moved. Up to `parallel` run at once, each for a
   * slot of its own. When it throws, the slot counts as empty.
   */
  load(layer: number, expert: number, slot: number): Promise<number> | number;
  /** Stores the layer's table, u32 [experts]; called after each change, before the wave is handed out. */
  writeTable(layer: number, slotOf: Uint32Array<ArrayBuffer>): void;
  /** Loads under way at once; 4 if absent. */
  readonly parallel?: number;
  /** LRU if absent. */
  readonly policy?: PolicyFactory;
}

/** Experts that may be computed together: all of them are in their slots until the next ones are asked for. */
export interface Wave {
  readonly index: number;
  readonly isLast: boolean;
  /** Ascending. No expert is handed out twice by one `resolve()`. */
  readonly experts: Uint32Array<ArrayBuffer>;
  /** Experts of this wave that could not be loaded, with what `load` threw; they are not in `experts`. */
  readonly failures: ReadonlyMap<number, unknown>;
  /** How many of them were loaded for this wave. */
  readonly uploads: number;
}

/** Totals since start. A hit or a miss is one expert in one layer of one step. */
export interface PagingCounters {
  hits: number;
  /** Loads that succeeded, counted when they end. */
  misses: number;
  /** Bytes of these loads, as `load` returned them. */
  bytes: number;
  evictions: number;
  /** `resolve()` calls with something to load: the GPU had to wait. */
  stops: number;
  waves: number;
  /** Loads that threw. */
  failures: number;
  /** Experts loaded before a step needed them; not among `misses`. */
  prefetches: number;
  /** Bytes of these loads; not among `bytes`. */
  prefetchBytes: number;
}

interface Upload {
  readonly expert: number;
  readonly slot: number;
}

const DEFAULT_PARALLEL = 4;

/** The slot pools of all layers. */
export class ExpertPager {
  /** Totals since start. */
  readonly counters: PagingCounters = {
    hits: 0,
    misses: 0,
    bytes: 0,
    evictions: 0,
    stops: 0,
    waves: 0,
    failures: 0,
    prefetches: 0,
    prefetchBytes: 0,
  };
  readonly #options: PagerOptions;
  readonly #pools: readonly SlotPool[];
  readonly #busy = new Set<number>();
  #complete = false;

  /** @throws {RangeError} if the slots do not hold one token's experts, or exceed the experts. */
  constructor(options: PagerOptions) {
    const { layers, experts, slots, topK } = options;
    if (slots < topK) {
      throw new RangeError(
        `Cannot page experts: ${slots} slots a layer, expected at least ${topK}, the experts of a token`,
      );
    }
    const policy = options.policy ?? ((count: number) => new LruPolicy(count));
    this.#options = options;
    this.#pools = Array.from(
      { length: layers },
      (_, layer) => new SlotPool(experts, slots, policy(slots, layer)),
    );
  }

  /** The layer's table: slot of each resident expert, NONE for the others. Changes with each wave. */
  table(layer: number): Uint32Array<ArrayBuffer> {
    return this.#pool(layer).table;
  }

  /** Whether every expert of every layer is resident: from then on nothing is ever evicted. */
  isComplete(): boolean {
    return this.#complete ||= this.#pools.every((pool) => pool.residentCount() === pool.experts);
  }

  /** Whether none of these experts needs loading. */
  isResident(layer: number, ids: Iterable<number>): boolean {
    const pool = this.#pool(layer);
    for (const id of ids) if (!pool.has(id)) return false;
    return true;
  }

  /**
   * Makes the experts computable, as many waves as it takes. Ask for the next wave when the GPU work that
   * reads this one's slots has been submitted: uploads are ordered behind it. Leaving the loop early is fine.
   * An expert that cannot be loaded is reported in its wave; the others go on, its slot is free. A wave that loads more than
   * `part` experts is handed out in parts, as far as it is there: the residents first, then so many at a time.
   * @throws {RangeError} for an id that is no expert, or while another `resolve()` of the layer is under way.
   */
  async *resolve(
    layer: number,
    ids: Iterable<number>,
    { part = Infinity }: { readonly part?: number } = {},
  ): AsyncGenerator<Wave, void, undefined> {
    const pool = this.#pool(layer);
    const plans = planWaves(ids, pool);
    this.#occupy(layer);
    this.counters.hits += plans[0]?.hits.length ?? 0;
    if (plans.some(({ misses }) => misses.length > 0)) this.counters.stops++;
    let index = 0;
    try {
      for (const [wave, plan] of plans.entries()) {
        const uploads = this.#claim(pool, plan);
        this.counters.waves++;
        const parts = partsOf(plan.hits, uploads, part);
        // Those that gave way must not be found any more when the residents are handed out.
        if (parts.length > 1) this.#options.writeTable(layer, pool.table);
        const loaded: number[] = [];
        for (const { hits, misses, isLast } of parts) {
          const failures = await this.#load(layer, pool, misses);
          const came = misses.map(({ expert }) => expert).filter((expert) => !failures.has(expert));
          loaded.push(...came);
          // In the order of ids, not of arrival: what is evicted next must not depend on the disk.
          if (isLast) { for (const expert of ascending(plan.hits, loaded)) pool.touch(expert); }
          yield {
            index: index++,
            isLast: isLast && wave === plans.length - 1,
            experts: ascending(hits, came),
            failures,
            uploads: came.length,
          };
        }
        pool.unpinAll();
      }
    } finally {
      pool.endLoads();
      pool.unpinAll();
      this.#busy.delete(layer);
    }
  }

  /** Counts experts that the GPU found resident by itself, and keeps the order of use true. */
  touch(layer: number, ids: Iterable<number>): void {
    const pool = this.#pool(layer);
    for (const id of [...new Set(ids)].sort((a, b) => a - b)) {
      if (pool.has(id)) this.counters.hits++;
      pool.touch(id);
    }
  }

  /**
   * Loads an expert that no step has asked for, if its layer has a free slot, and tells whether it tried. The expert
   * counts as never used: it gives way before those that were. Call it between steps.
   * @throws {RangeError} while the layer is being resolved.
   */
  async loadAhead(layer: number, expert: number): Promise<boolean> {
    const pool = this.#pool(layer);
    if (pool.has(expert) || !pool.hasFree()) return false;
    this.#occupy(layer);
    const { slot } = pool.claim(expert);
    try {
      const bytes = await this.#options.load(layer, expert, slot);
      pool.settle(slot, expert);
      this.counters.prefetches++;
      this.counters.prefetchBytes += bytes;
    } catch {
      pool.abandon(slot); // whoever needs the expert will see the reason
      this.counters.failures++;
    } finally {
      pool.unpinAll();
      this.#busy.delete(layer);
    }
    this.#options.writeTable(layer, pool.table);
    return true;
  }

  /**
   * Loads every expert of every layer, expert e into slot e, and returns what `load` threw for those that
   * could not be loaded: they are asked for again when a token needs them.
   * @throws {RangeError} if there are fewer slots than experts.
   */
  async loadAll(onLayer?: (done: number, total: number) => void): Promise<readonly unknown[]> {
    const errors: unknown[] = [];
    const { layers, experts, slots } = this.#options;
    if (slots < experts) {
      throw new RangeError(`Cannot load all experts: ${slots} slots a layer, expected ${experts}`);
    }
    for (const [layer, pool] of this.#pools.entries()) {
      const misses = planWaves(Array(experts).keys(), pool).flatMap((plan) => plan.misses);
      try {
        const uploads = this.#claim(pool, { hits: [], misses });
        errors.push(...(await this.#load(layer, pool, uploads)).values());
      } finally {
        pool.unpinAll();
      }
      onLayer?.(layer + 1, layers);
    }
    return errors;
  }

  #occupy(layer: number): void {
    if (this.#busy.has(layer)) {
      throw new RangeError(
        `Cannot resolve experts of layer ${layer}: it is being resolved already`,
      );
    }
    this.#busy.add(layer);
  }

  #pool(layer: number): SlotPool {
    const pool = this.#pools[layer];
    if (pool === undefined) {
      throw new RangeError(`Cannot page experts: found layer ${layer} of ${this.#pools.length}`);
    }
    return pool;
  }

  /** Pins the hits and takes slots for the misses. */
  #claim(pool: SlotPool, { hits, misses }: WavePlan): Upload[] {
    for (const expert of hits) pool.pin(expert);
    return misses.map((expert) => {
      const { slot, evicted } = pool.claim(expert);
      if (evicted !== undefined) this.counters.evictions++;
      return { expert, slot };
    });
  }

  /** Loads the misses, stores the table; returns the experts that could not be loaded. */
  async #load(
    layer: number,
    pool: SlotPool,
    uploads: readonly Upload[],
  ): Promise<ReadonlyMap<number, unknown>> {
    if (uploads.length === 0) return new Map();
    try {
      return await this.#loadEach(layer, pool, uploads);
    } finally {
      // Also after a failure: evicted experts must not be found in slots that hold others now.
      this.#options.writeTable(layer, pool.table);
    }
  }

  async #loadEach(
    layer: number,
    pool: SlotPool,
    uploads: readonly Upload[],
  ): Promise<ReadonlyMap<number, unknown>> {
    const { parallel = DEFAULT_PARALLEL } = this.#options;
    const failures = new Map<number, unknown>();
    const queue = uploads.values();
    const lane = async () => {
      for (const { expert, slot } of queue) {
        try {
          const bytes = await this.#options.load(layer, expert, slot);
          pool.settle(slot, expert);
          this.counters.misses++;
          this.counters.bytes += bytes;
        } catch (error) {
          pool.abandon(slot);
          this.counters.failures++;
          failures.set(expert, error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, uploads.length) }, lane));
    return failures;
  }
}

/** A wave in parts of so many loads; one part where there are no more of them. */
function partsOf(
  hits: readonly number[],
  uploads: readonly Upload[],
  part: number,
): { readonly hits: readonly number[]; readonly misses: readonly Upload[]; isLast: boolean }[] {
  if (uploads.length <= part) return [{ hits, misses: uploads, isLast: true }];
  const parts = hits.length > 0 ? [{ hits, misses: uploads.slice(0, 0), isLast: false }] : [];
  for (let start = 0; start < uploads.length; start += part) {
    const isLast = start + part >= uploads.length;
    parts.push({ hits: [], misses: uploads.slice(start, start + part), isLast });
  }
  return parts;
}

function ascending(hits: readonly number[], loaded: readonly number[]): Uint32Array<ArrayBuffer> {
  return Uint32Array.from([...hits, ...loaded]).sort();
}
