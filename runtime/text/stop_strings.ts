/** Finds stop strings in a text that comes in pieces, and lets no part of one out before it is sure. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #hit: string | null = null;

  /** @param stops Empty strings among them are ignored. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** The stop string that was found first; of those that end at one place, the longest. */
  get hit(): string | null {
    return this.#hit;
  }

  /** Text that cannot belong to a stop string. Nothing more comes once one was hit. */
  push(text: string): string {
    if (this.#hit !== null) return "";
    const buffer = this.#held + text;
    let [cut, end] = [buffer.length, Infinity];
    for (const stop of this.#stops) {
      const start = buffer.indexOf(stop);
      if (start < 0) continue;
      const stopEnd = start + stop.length;
      if (stopEnd < end || (stopEnd === end && start < cut)) {
        [cut, end, this.#hit] = [start, stopEnd, stop];
      }
    }
    const out = this.#hit === null ? buffer.length - this.#heldLength(buffer) : cut;
    this.#held = this.#hit === null ? buffer.slice(out) : "";
    return buffer.slice(0, out);
  }

  /** What was held back, now that no stop string can be completed. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** The longest end of the text that is the beginning of a stop string. */
  #heldLength(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
