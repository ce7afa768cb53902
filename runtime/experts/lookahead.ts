/**
 * Guesses which experts a later layer will choose: its router, run by the host on what an earlier layer routes from.
 * With the layer's own input it is no guess (up to numbers that are equal to the last bits).
 * @module
 */

/** The router of one layer with the norm before it. */
export interface Router {
  /** f32 [experts, hidden]: the router's rows, each element times (1 + gain) of the norm. */
  readonly rows: Float32Array;
}

/** Runs routers on the host. */
export class Lookahead {
  readonly layers: number;
  readonly #routers: readonly Router[];
  readonly #topK: number;

  constructor(routers: readonly Router[], topK: number) {
    this.#routers = routers;
    this.#topK = topK;
    this.layers = routers.length;
  }

  /**
   * The distinct experts that `layer` would choose for the residual streams h, f32 [rows, hidden]. What the norm
   * divides a row by is left out: it changes no order.
   */
  guess(layer: number, h: Float32Array, hidden: number): Set<number> {
    const { rows } = this.#routers[layer]!;
    const found = new Set<number>();
    for (let row = 0; row < h.length; row += hidden) {
      const logits = products(rows, h.subarray(row, row + hidden));
      for (const expert of best(logits, this.#topK)) found.add(expert);
    }
    return found;
  }
}

/** Folds the norm's gain, zero-centred, into a router [experts, hidden]. */
export function foldRouter(router: Float32Array, gain: Float32Array): Router {
  return { rows: router.map((value, i) => value * (1 + gain[i % gain.length]!)) };
}

function products(matrix: Float32Array, x: Float32Array): Float64Array {
  const y = new Float64Array(matrix.length / x.length);
  for (let row = 0; row < y.length; row++) {
    const at = row * x.length;
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += matrix[at + i]! * x[i]!;
    y[row] = sum;
  }
  return y;
}

/** The indices of the largest values; of equals the lower ones. */
function best(values: Float64Array, count: number): number[] {
  const chosen: number[] = [];
  for (let index = 0; index < values.length; index++) {
    let place = chosen.length;
    while (place > 0 && values[chosen[place - 1]!]! < values[index]!) place--;
    if (place < count) chosen.splice(place, 0, index);
    if (chosen.length > count) chosen.pop();
  }
  return chosen;
}
