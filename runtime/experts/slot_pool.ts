/**
 * The expert slots of one layer: which expert lies in which slot, which slots may not be given away, and
 * the table that the GPU reads. Host bookkeeping only; README.md has the states of a slot.
 * @module
 */
import { NONE } from "../../shaders/common/step.ts";
import { type EvictionPolicy, LruPolicy } from "./policy.ts";

/** A slot that was taken for an expert. */
export interface Claim {
  readonly slot: number;
  /** The expert that gave way, or undefined if the slot was free. */
  readonly evicted: number | undefined;
}

type SlotState = "free" | "loading" | "resident";

/** Slots of one layer. */
export class SlotPool {
  readonly experts: number;
  readonly slots: number;
  /** u32 [experts]: the slot of each resident expert, NONE for the others. Read it, never write it. */
  readonly table: Uint32Array<ArrayBuffer>;
  readonly #policy: EvictionPolicy;
  readonly #states: SlotState[];
  readonly #expertOf: Uint32Array;
  readonly #pinned: Uint8Array;

  /** @throws {RangeError} unless 1 <= slots <= experts. */
  constructor(experts: number, slots: number, policy: EvictionPolicy = new LruPolicy(slots)) {
    if (!(Number.isInteger(slots) && slots >= 1 && slots <= experts)) {
      throw new RangeError(
        `Cannot make a slot pool: ${slots} slots for ${experts} experts, expected 1 to ${experts}`,
      );
    }
    this.experts = experts;
    this.slots = slots;
    this.table = new Uint32Array(experts).fill(NONE);
    this.#policy = policy;
    this.#states = new Array<SlotState>(slots).fill("free");
    this.#expertOf = new Uint32Array(slots).fill(NONE);
    this.#pinned = new Uint8Array(slots);
  }

  /** The slot of a resident expert, or NONE. */
  slotOf(expert: number): number {
    return this.table[expert] ?? NONE;
  }

  /** Whether the expert may be computed now. */
  has(expert: number): boolean {
    return this.slotOf(expert) !== NONE;
  }

  /** How many experts are resident. */
  residentCount(): number {
    return this.#states.filter((state) => state === "resident").length;
  }

  /** Whether `claim()` would evict nothing. */
  hasFree(): boolean {
    return this.#states.includes("free");
  }

  /** Whether `claim()` would succeed. */
  canClaim(): boolean {
    return this.#states.some((state, slot) => state === "free" || this.#mayEvict(slot));
  }

  /**
   * Takes a slot for an expert that is about to be loaded: the lowest free one, else the policy's victim.
   * The slot stays pinned until `unpinAll()`. End the claim with `settle()` or `abandon()`.
   * @throws {RangeError} if every slot is pinned or loading, or the expert has one already.
   */
  claim(expert: number): Claim {
    if (this.has(expert)) throw new RangeError(`Cannot claim a slot: expert ${expert} is resident`);
    const free = this.#states.indexOf("free");
    const slot = free >= 0 ? free : this.#policy.victim((slot) => this.#mayEvict(slot));
    if (slot === undefined) {
      throw new RangeError(
        `Cannot claim a slot for expert ${expert}: all ${this.slots} slots are in use`,
      );
    }
    const evicted = free >= 0 ? undefined : this.#expertOf[slot];
    if (evicted !== undefined) this.table[evicted] = NONE;
    this.#expertOf[slot] = NONE;
    this.#states[slot] = "loading";
    this.#pinned[slot] = 1;
    return { slot, evicted };
  }

  /** The claimed slot holds the expert now. */
  settle(slot: number, expert: number): void {
    this.#endLoading(slot);
    this.#states[slot] = "resident";
    this.#expertOf[slot] = expert;
    this.table[expert] = slot;
  }

  /** The expert could not be loaded: what the claimed slot holds is nobody's. */
  abandon(slot: number): void {
    this.#endLoading(slot);
    this.#states[slot] = "free";
    this.#pinned[slot] = 0;
  }

  /** Abandons every claim that was not ended: whoever resolved left early. */
  endLoads(): void {
    this.#states.forEach((state, slot) => state === "loading" && this.abandon(slot));
  }

  /** Keeps a resident expert where it is until `unpinAll()`. */
  pin(expert: number): void {
    const slot = this.slotOf(expert);
    if (slot !== NONE) this.#pinned[slot] = 1;
  }

  /** Tells the policy that a resident expert was used. */
  touch(expert: number): void {
    const slot = this.slotOf(expert);
    if (slot !== NONE) this.#policy.touched(slot, expert);
  }

  /** Ends all pins. */
  unpinAll(): void {
    this.#pinned.fill(0);
  }

  #mayEvict(slot: number): boolean {
    return this.#states[slot] === "resident" && this.#pinned[slot] === 0;
  }

  #endLoading(slot: number): void {
    if (this.#states[slot] === "loading") return;
    throw new RangeError(`Cannot end a load: slot ${slot} is ${this.#states[slot]}, not loading`);
  }
}
