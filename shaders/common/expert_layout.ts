/**
 * Where the parts of one routed expert lie inside its slot. The reader packs by this, the kernels read
 * by this. A slot pool is slots one after the other: slot s starts at byte s * stride of its buffer.
 *
 *     FP8:   down | gate | up | downScale | gateScale | upScale
 *     BF16:  down | gate | up
 *
 * That is the order of names, in which the publisher's files hold an expert: codes and scales are one read each.
 * gate and up are [dff, hidden], down is [hidden, dff], row-major, the bytes exactly as in the snapshot
 * (one byte an e4m3fn code, two bytes a bf16, little-endian). Scales are bf16, row-major,
 * [ceil(rows / 128), ceil(columns / 128)] of their matrix: a weight is code * scale. Every part starts
 * at a multiple of 16 bytes, a slot at a multiple of 256; the padding between is zero.
 * @module
 */

/** How a routed expert is stored. */
export type ExpertFormat = "fp8" | "bf16";

/** Rows and columns that share one FP8 scale. */
export const SCALE_BLOCK = 128;

/** Each part of a slot starts at a multiple of this: one vec4<u32>. */
export const PART_ALIGNMENT = 16;

/** A slot starts at a multiple of this, so that it may be bound by itself. */
export const SLOT_ALIGNMENT = 256;

/** One matrix of scales or weights inside a slot. */
export interface ExpertPart {
  /** Bytes from the start of the slot; a multiple of `PART_ALIGNMENT`. */
  readonly offset: number;
  /** Bytes without padding: rows * columns * bytes of an element. */
  readonly byteLength: number;
  readonly rows: number;
  readonly columns: number;
}

/** The whole slot. The three scale parts are there for "fp8" only. */
export interface ExpertLayout {
  readonly format: ExpertFormat;
  readonly hidden: number;
  readonly dff: number;
  readonly gate: ExpertPart;
  readonly up: ExpertPart;
  readonly down: ExpertPart;
  readonly gateScale?: ExpertPart;
  readonly upScale?: ExpertPart;
  readonly downScale?: ExpertPart;
  /** Bytes of weights and scales, without padding: what a page-in reads. */
  readonly byteLength: number;
  /** Bytes from one slot to the next; a multiple of `SLOT_ALIGNMENT`. */
  readonly stride: number;
}

/**
 * The layout of a slot for experts of these sizes.
 * @throws {RangeError} for a size that is not a positive integer.
 */
export function expertLayout(
  { hidden, dff, format }: { hidden: number; dff: number; format: ExpertFormat },
): ExpertLayout {
  for (const [name, value] of Object.entries({ hidden, dff })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(
        `Cannot lay out an expert: ${name} is ${value}, expected a positive integer`,
      );
    }
  }
  let end = 0;
  let byteLength = 0;
  const part = (rows: number, columns: number, elementBytes: number): ExpertPart => {
    const offset = align(end, PART_ALIGNMENT);
    const bytes = rows * columns * elementBytes;
    end = offset + bytes;
    byteLength += bytes;
    return { offset, byteLength: bytes, rows, columns };
  };
  const bytes = format === "fp8" ? 1 : 2;
  const weights = {
    down: part(hidden, dff, bytes),
    gate: part(dff, hidden, bytes),
    up: part(dff, hidden, bytes),
  };
  const across = Math.ceil(hidden / SCALE_BLOCK);
  const along = Math.ceil(dff / SCALE_BLOCK);
  const scales = format === "fp8"
    ? {
      downScale: part(across, along, 2),
      gateScale: part(along, across, 2),
      upScale: part(along, across, 2),
    }
    : {};
  return {
    format,
    hidden,
    dff,
    ...weights,
    ...scales,
    byteLength,
    stride: align(end, SLOT_ALIGNMENT),
  };
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
