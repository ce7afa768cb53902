/** Comparison of computed numbers by relative root mean square. @module */
import { fail } from "@std/assert";

/** The RMS of `got - want` over the RMS of `want`. */
export function relativeRms(got: ArrayLike<number>, want: ArrayLike<number>): number {
  let difference = 0;
  let reference = 0;
  for (let i = 0; i < want.length; i++) {
    difference += (got[i]! - want[i]!) ** 2;
    reference += want[i]! ** 2;
  }
  return Math.sqrt(difference / (reference || 1));
}

/** Fails unless `got` has every element of `want` written and their relative RMS is at most `ratio`. */
export function assertClose(
  name: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  ratio: number,
): void {
  if (got.length < want.length) fail(`${name} has ${got.length} elements, expected ${want.length}`);
  for (let i = 0; i < want.length; i++) {
    if (Number.isNaN(got[i])) {
      fail(`${name}[${i}] was never written, or is NaN; expected ${want[i]}`);
    }
  }
  const error = relativeRms(got, want);
  if (!(error <= ratio)) {
    let worst = 0;
    for (let i = 0; i < want.length; i++) {
      if (Math.abs(got[i]! - want[i]!) > Math.abs(got[worst]! - want[worst]!)) worst = i;
    }
    fail(
      `${name}: relative RMS ${error} > ${ratio}; worst at [${worst}]: got ${
        got[worst]
      }, expected ${want[worst]}`,
    );
  }
}
