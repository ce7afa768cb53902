/** Sizes that the kernels of the gated delta rule share, and their check. @module */

/** Head counts and sizes of a Gated DeltaNet mixer. */
export interface DeltaSizes {
  readonly keyHeads: number;
  /** A multiple of `keyHeads`. */
  readonly valueHeads: number;
  /** A power of two, 16 to 128. */
  readonly keyDim: number;
  /** A power of two, 16 to 128. */
  readonly valueDim: number;
}

/** @throws {RangeError} for sizes that the kernels were not written for */
export function checkDeltaSizes({ keyHeads, valueHeads, keyDim, valueDim }: DeltaSizes): void {
  for (const [name, size] of Object.entries({ keyDim, valueDim })) {
    if (![16, 32, 64, 128].includes(size)) {
      throw new RangeError(
        `Cannot run the delta rule with ${name} ${size}: expected 16, 32, 64 or 128`,
      );
    }
  }
  if (keyHeads < 1 || valueHeads < 1 || valueHeads % keyHeads) {
    throw new RangeError(
      `Cannot run the delta rule with ${valueHeads} value heads and ${keyHeads} key heads: ` +
        `expected a multiple`,
    );
  }
}

/** The sizes as `override` constants. */
export function deltaConstants(sizes: DeltaSizes): Record<string, number> {
  return {
    KEY_HEADS: sizes.keyHeads,
    VALUE_HEADS: sizes.valueHeads,
    KEY_DIM: sizes.keyDim,
    VALUE_DIM: sizes.valueDim,
  };
}
