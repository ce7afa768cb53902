/** The host's view of the sampler's buffers, in u32 words. @module */

/** Words of one slot's options and the place of each field; see options.wgsl. */
export const OPTIONS = {
  words: 16,
  temperature: 0,
  topP: 1,
  minP: 2,
  presence: 3,
  frequency: 4,
  repetition: 5,
  topK: 6,
  seed: 7,
  realVocab: 8,
  flags: 9,
  top: 10,
} as const;

/** Bits of an option slot's `flags`: the slot's counts or biases are to be read. */
export const SAMPLER_FLAGS = { penalised: 1, biased: 2 } as const;

/** Bit of a count that says that the id is in the prompt; the others count how often it was generated. */
export const IN_PROMPT = 0x80000000;

/** Most entries of the list of most probable ids. */
export const MAX_TOP = 20;

/** Words of one sample and the place of each field; `ids` and `logprobs` have `MAX_TOP` entries, `listed` are valid. */
export const SAMPLE = {
  words: 44,
  id: 0,
  logprob: 1,
  bad: 2,
  listed: 3,
  ids: 4,
  logprobs: 24,
} as const;

/** Words of one entry of the scratch buffers. */
export const SAMPLER_SCRATCH = { cell: 2, block: 4, choice: 4, winner: 2 } as const;

/** Ids of a block, and its cells. */
export const SAMPLER_BLOCK = { ids: 2048, cells: 64 } as const;
