/** What the engine's kernels reach on a device: measured there, or assumed from what it could do at most. @module */

/** Rates of the engine's kernels and the costs of its steps; plain numbers, seconds and bytes or operations a second. */
export interface KernelRates {
  /** Products of matrices by the bytes that a weight takes: of 8 and of 16 bits. */
  readonly narrow: MatrixRates;
  readonly wide: MatrixRates;
  readonly experts: ExpertRates;
  readonly delta: {
    /** Bytes of recurrent state that are read or written where segments have one row each. */
    readonly step: number;
    /** Operations where a segment has many rows. */
    readonly chunk: number;
  };
  readonly attention: {
    /** Bytes of keys and values that rows of their own sequences read. */
    readonly decode: number;
    /** Operations where a sequence has many rows. */
    readonly prefill: number;
  };
  /** Seconds of a dispatch of next to no work among others unlike it. */
  readonly dispatch: number;
  /** Seconds from the last dispatch of a step to the first of the next: read-back, host, submission. */
  readonly token: number;
}

/** Products of one matrix. */
export interface MatrixRates {
  /** Bytes of weights with one row. */
  readonly one: number;
  /** Bytes of weights with two to four rows, with up to eight, and with up to sixteen. */
  readonly four: number;
  readonly eight: number;
  readonly sixteen: number;
  /** Operations with rows enough for the kernels of prompts. */
  readonly many: number;
}

/** Routed and shared experts of a layer. */
export interface ExpertRates {
  /** Bytes of experts of one row. */
  readonly one: number;
  /** Bytes of distinct experts of several rows, each read for `tile` rows at a time. */
  readonly several: number;
  readonly tile: number;
  /** Of a prompt: bytes of distinct experts, and operations beside. */
  readonly many: { readonly read: number; readonly compute: number };
}

/**
 * A share of a card's bandwidth that kernels like these reach: published figures of native and WebGPU engines on models of
 * this kind say 0.45 to 0.7.
 */
export const BANDWIDTH_SHARE = 0.5;
/** A share of a card's f32 rate that kernels without matrix units reach: published figures say 0.2 to 0.4. */
export const FLOPS_SHARE = 0.22;

/** Rows that an expert of a device is read for at a time, where that is not known. */
const ANY_ROWS = 16;
/** Rows of the steps that products are timed with. */
export const SEVERAL = { four: 4, eight: 8, sixteen: 16 } as const;

/** What is assumed of a card that was never measured. */
export function assumedRates({ bandwidth, flops, dispatch, token }: {
  readonly bandwidth: number;
  readonly flops: number;
  readonly dispatch: number;
  readonly token: number;
}): KernelRates {
  const read = bandwidth * BANDWIDTH_SHARE;
  const compute = flops * FLOPS_SHARE;
  const matrix = { one: read, four: read, eight: read, sixteen: read, many: compute };
  return {
    narrow: matrix,
    wide: matrix,
    experts: { one: read, several: read, tile: ANY_ROWS, many: { read, compute } },
    delta: { step: read, chunk: compute },
    attention: { decode: read, prefill: compute },
    dispatch,
    token,
  };
}

/** Seconds to multiply so many bytes of weights with `rows` rows, up to 16. */
export function productSeconds(
  { one, four, eight, sixteen }: MatrixRates,
  bytes: number,
  rows: number,
): number {
  if (rows === 1) return bytes / one;
  if (rows <= SEVERAL.four) return bytes / four;
  return bytes / (rows <= SEVERAL.eight ? eight : sixteen);
}
