/** Compares a snapshot with the tensors that a model's configuration calls for. @module */
import { WeightsError } from "./errors.ts";
import type { Snapshot } from "./snapshot.ts";

/** What a tensor should be. One found as F8_E4M3 must have BF16 block scales, any other must have none. */
export interface ExpectedTensor {
  readonly shape: readonly number[];
  /** Any of these, as the header spells them. */
  readonly dtypes: readonly string[];
}

/** Rows and columns that share a scale. */
const BLOCK = 128;
/** How many faults an error lists. */
const LISTED = 10;

/**
 * Compares names, shapes, dtypes and FP8 scales; further tensors are allowed under the prefixes only.
 * @throws {WeightsError} one line with the number of faults and the first ten of them.
 */
export function expectTensors(
  snapshot: Snapshot,
  expected: ReadonlyMap<string, ExpectedTensor>,
  ignoredPrefixes: readonly string[] = [],
): void {
  const faults: string[] = [];
  const known = new Set<string>();
  for (const [name, wanted] of expected) {
    known.add(name).add(`${name}_scale_inv`);
    const found = tensorFaults(snapshot, name, wanted);
    faults.push(...found);
    // Where the caller lists the scales themselves they have their own turn.
    if (found.length === 0 && !expected.has(`${name}_scale_inv`)) {
      faults.push(...scaleFaults(snapshot, name));
    }
  }
  for (const name of snapshot.names()) {
    if (known.has(name) || ignoredPrefixes.some((prefix) => name.startsWith(prefix))) continue;
    faults.push(`"${name}" is not expected, found ${describe(snapshot, name)}`);
  }
  if (faults.length === 0) return;
  const shown = faults.slice(0, LISTED).join("; ");
  const rest = faults.length > LISTED ? `; and ${faults.length - LISTED} more` : "";
  const count = faults.length === 1 ? "1 tensor differs" : `${faults.length} tensors differ`;
  throw new WeightsError(
    `Cannot load "${snapshot.folder}": ${count} from its config: ${shown}${rest}`,
  );
}

function tensorFaults(snapshot: Snapshot, name: string, wanted: ExpectedTensor): string[] {
  const expected = `expected ${wanted.dtypes.join(" or ")} [${wanted.shape.join(", ")}]`;
  if (!snapshot.has(name)) return [`"${name}" is missing, ${expected}`];
  const { dtype, shape } = snapshot.tensor(name);
  if (!wanted.dtypes.includes(dtype) || !sameShape(shape, wanted.shape)) {
    return [`"${name}" is ${describe(snapshot, name)}, ${expected}`];
  }
  return [];
}

function scaleFaults(snapshot: Snapshot, name: string): string[] {
  const { dtype, shape } = snapshot.tensor(name);
  const scale = snapshot.scaleOf(name);
  const scaleName = `${name}_scale_inv`;
  if (dtype !== "F8_E4M3") {
    return scale === undefined
      ? []
      : [`"${name}" is ${dtype} and has "${scaleName}", expected F8_E4M3 or no scales`];
  }
  const scaleShape = shape.map((length) => Math.ceil(length / BLOCK));
  const scaleExpected = `expected BF16 [${scaleShape.join(", ")}]`;
  if (scale === undefined) return [`"${scaleName}" is missing, ${scaleExpected}`];
  if (scale.dtype === "BF16" && sameShape(scale.shape, scaleShape)) return [];
  return [`"${scaleName}" is ${describe(snapshot, scaleName)}, ${scaleExpected}`];
}

function describe(snapshot: Snapshot, name: string): string {
  const { dtype, shape, file } = snapshot.tensor(name);
  return `${dtype} [${shape.join(", ")}] in "${file}"`;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}
