/** Sampling in plain loops and double precision, with the kernels' random numbers. @module */

/** How one row is sampled; the fields mean what they do in the engine's contract. */
export interface NaiveOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly minP: number;
  readonly topK: number;
  readonly presence: number;
  readonly frequency: number;
  readonly repetition: number;
  readonly seed: number;
  /** Ids from here on are never drawn or listed. */
  readonly realVocab: number;
  /** Entries of the list. */
  readonly top: number;
  /** Per id: how often it was generated, and 2 ** 31 more if it is in the prompt. */
  readonly counts?: ArrayLike<number>;
  /** Per id. */
  readonly bias?: ArrayLike<number>;
}

/** One sampled row. */
export interface NaiveSample {
  readonly id: number;
  readonly logprob: number;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** Samples one row of raw logits for the token after `position`; `forced` is reported instead of a drawn id. */
export function sampleNaive(
  logits: ArrayLike<number>,
  options: NaiveOptions,
  at: { readonly position: number; readonly forced?: number },
): NaiveSample {
  const raw = Array.from(logits);
  const most = raw.reduce((a, b) => Math.max(a, b));
  const logTotal = most + Math.log(raw.reduce((sum, x) => sum + Math.exp(x - most), 0));
  const scored = (id: number) => ({ id, logprob: raw[id]! - logTotal });
  const ids = raw.map((_, id) => id).slice(0, options.realVocab);
  return {
    ...scored(at.forced ?? drawNaive(logits, options, at.position)),
    top: ids.sort((a, b) => raw[b]! - raw[a]! || a - b).slice(0, options.top).map(scored),
  };
}

/** Logits after penalties and bias, -Infinity for ids that are not real. */
export function adjustedNaive(logits: ArrayLike<number>, options: NaiveOptions): Float64Array {
  return Float64Array.from(logits, (raw, id) => {
    if (id >= options.realVocab) return -Infinity;
    const seen = options.counts?.[id] ?? 0;
    const generated = seen % 2 ** 31;
    let x = raw;
    if (seen) x = x > 0 ? x / options.repetition : x * options.repetition;
    x -= options.frequency * generated + (generated ? options.presence : 0);
    return x + (options.bias?.[id] ?? 0);
  });
}

/**
 * The probability of each id: temperature, then top-k, top-p over what is left, min-p. Ids with equal logits are kept
 * or dropped together. At temperature 0, the first of the highest has it all.
 */
export function distributionNaive(
  logits: ArrayLike<number>,
  options: NaiveOptions,
): Float64Array {
  const x = adjustedNaive(logits, options);
  const most = x.reduce((a, b) => Math.max(a, b));
  if (options.temperature === 0) {
    const first = x.indexOf(most);
    return x.map((_, id) => id === first ? 1 : 0);
  }
  let weights = x.map((value) => Math.exp((value - most) / options.temperature));
  const sorted = x.slice(0, options.realVocab).sort().reverse();
  if (options.topK && options.topK < sorted.length) {
    const lowest = sorted[options.topK - 1]!;
    weights = weights.map((weight, id) => x[id]! >= lowest ? weight : 0);
  }
  if (options.topP < 1) {
    const goal = options.topP * weights.reduce((a, b) => a + b);
    const byWeight = weights.slice().sort().reverse();
    let sum = 0;
    const lowest = byWeight.find((weight) => (sum += weight) >= goal) ?? 0;
    weights = weights.map((weight) => weight >= lowest ? weight : 0);
  }
  weights = weights.map((weight) => weight >= options.minP ? weight : 0);
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

/** The id with the highest log(probability) - log(exponential noise): a draw from the distribution (Gumbel-max). */
export function drawNaive(
  logits: ArrayLike<number>,
  options: NaiveOptions,
  position: number,
): number {
  const probabilities = distributionNaive(logits, options);
  const noise = noiseNaive(options.seed, position);
  let best = 0;
  let highest = -Infinity;
  probabilities.forEach((probability, id) => {
    if (!probability) return;
    const score = Math.log(probability) - Math.log(noise(id));
    if (score > highest) [best, highest] = [id, score];
  });
  return best;
}

/** Exponentially distributed numbers, a function of seed, position and id; as in draw.wgsl. */
export function noiseNaive(seed: number, position: number): (id: number) => number {
  const salt = mixBits(position ^ mixBits(seed));
  const pepper = mixBits(salt ^ 0x9e3779b9);
  return (id) => -Math.log1p(-(mixBits(mixBits(id ^ salt) + pepper) + 0.5) / 2 ** 32);
}

/** The finaliser of MurmurHash3. */
function mixBits(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
