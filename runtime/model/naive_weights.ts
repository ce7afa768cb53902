/** The weights of a snapshot as plain f32 numbers, for the executable specification. @module */
import { decode, type FloatDtype, type Snapshot } from "../../weights/mod.ts";
import { SCALE_BLOCK, SCALE_SUFFIX } from "./names.ts";

/** Reads tensors by name, dequantises them and keeps them: for models of a few megabytes. */
export class NaiveWeights {
  readonly #snapshot: Snapshot;
  readonly #kept = new Map<string, Float32Array>();

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /** The dtype of a tensor, undefined where there is none. */
  dtypeOf(name: string): string | undefined {
    return this.#snapshot.has(name) ? this.#snapshot.tensor(name).dtype : undefined;
  }

  /** All values of a tensor, row-major; FP8 is multiplied by its block scales, which is exact in f32. */
  values(name: string): Float32Array {
    return this.#keep(name, () => {
      const values = this.#decoded(name);
      return this.#snapshot.has(name + SCALE_SUFFIX) ? this.#scaled(name, values) : values;
    });
  }

  /** The rows of several matrices of one width, one matrix below the other. */
  stacked(names: readonly string[]): Float32Array {
    return this.#keep(names.join("+"), () => {
      const parts = names.map((name) => this.values(name));
      const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
      return all;
    });
  }

  #keep(key: string, make: () => Float32Array): Float32Array {
    const kept = this.#kept.get(key) ?? make();
    this.#kept.set(key, kept);
    return kept;
  }

  #decoded(name: string): Float32Array {
    const tensor = this.#snapshot.tensor(name);
    const bytes = new Uint8Array(tensor.byteLength);
    tensor.readSync(0, bytes);
    return decode(bytes, tensor.dtype as FloatDtype);
  }

  #scaled(name: string, values: Float32Array): Float32Array {
    const [rows = 0, columns = 0] = this.#snapshot.tensor(name).shape;
    const scales = this.#decoded(name + SCALE_SUFFIX);
    const across = Math.ceil(columns / SCALE_BLOCK);
    for (let row = 0; row < rows; row++) {
      const first = Math.floor(row / SCALE_BLOCK) * across;
      for (let column = 0; column < columns; column++) {
        values[row * columns + column]! *= scales[first + Math.floor(column / SCALE_BLOCK)]!;
      }
    }
    return values;
  }
}
