/** GPU memory in plain arrays: what a step reads must be what earlier steps of the same tokens wrote. @module */
import { assertEquals } from "@std/assert";
import type { SequenceState } from "../../../runtime/state/sequence_cache.ts";
import type { Saved, StateCopies } from "../../../runtime/state/state_copies.ts";

/** A save that has not arrived. */
interface Pending {
  readonly arrive: () => void;
  readonly fail: () => void;
}

/** Bytes are 32-bit hashes of the tokens that led to them: one a slot, one a token in a page. */
export class FakeMemory implements StateCopies {
  readonly stateBytes = 4;
  readonly pageBytes: number;
  readonly pageTokens: number;
  readonly pending: Pending[] = [];
  readonly #slots: Int32Array<ArrayBuffer>;
  readonly #pages: Int32Array<ArrayBuffer>[];

  constructor(slots: number, arenaPages: readonly number[], pageTokens: number) {
    this.pageTokens = pageTokens;
    this.pageBytes = 4 * pageTokens;
    this.#slots = new Int32Array(slots).fill(-1);
    this.#pages = arenaPages.map((count) => new Int32Array(count * pageTokens).fill(-1));
  }

  saveState(slot: number): Promise<Saved> {
    const bytes = new Uint8Array(this.#slots.slice(slot, slot + 1).buffer);
    return this.#later(bytes);
  }

  loadState(slot: number, bytes: Saved): void {
    this.#slots.set(new Int32Array(bytes.buffer), slot);
  }

  savePages(arena: number, pages: readonly number[]): Promise<readonly Saved[]> {
    const bytes = pages.map((page) =>
      new Uint8Array(this.#pages[arena]!.slice(...this.#range(page)).buffer)
    );
    return this.#later(bytes);
  }

  loadPages(arena: number, pages: readonly number[], bytes: readonly Saved[]): void {
    assertEquals(bytes.length, pages.length);
    pages.forEach((page, i) => {
      this.#pages[arena]!.set(new Int32Array(bytes[i]!.buffer), page * this.pageTokens);
    });
  }

  copyPage(arena: number, from: number, to: number): void {
    this.#pages[arena]!.copyWithin(to * this.pageTokens, ...this.#range(from));
  }

  /** Runs tokens `from` to `to`; fails unless the state holds exactly the first `from` tokens. */
  run(state: SequenceState, tokens: readonly number[], from: number, to: number): void {
    const { stateRead, stateWrite, pages, arena } = state;
    assertEquals(
      stateRead === null ? 0 : this.#slots[stateRead],
      hashes(tokens.slice(0, from)).at(-1),
    );
    const known = hashes(tokens.slice(0, to));
    for (let i = 0; i < from; i++) {
      assertEquals(this.#pages[arena]![this.#at(pages, i)], known[i + 1], `KV of token ${i}`);
    }
    for (let i = from; i < to; i++) this.#pages[arena]![this.#at(pages, i)] = known[i + 1]!;
    this.#slots[stateWrite] = known[to]!;
  }

  /** Lets every save under way arrive, or fail, and the promises settle. */
  async settle(how: "arrive" | "fail" = "arrive"): Promise<void> {
    for (const save of this.pending.splice(0)) save[how]();
    await new Promise((resolve) => setTimeout(resolve));
  }

  #later<T>(value: T): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new Error("device lost"));
      this.pending.push({ arrive: () => resolve(value), fail });
    });
  }

  #at(pages: readonly number[], token: number): number {
    return pages[Math.floor(token / this.pageTokens)]! * this.pageTokens + token % this.pageTokens;
  }

  #range(page: number): [number, number] {
    return [page * this.pageTokens, (page + 1) * this.pageTokens];
  }
}

/** The hash of every prefix of `tokens`, the empty one first. */
function hashes(tokens: readonly number[]): number[] {
  let hash = 0;
  return [
    0,
    ...tokens.map((token) => hash = Math.imul(hash ^ (token + 1), 0x9e3779b1) ^ hash >>> 7),
  ];
}
