/**
 * Puts the trunk of a snapshot on the GPU: matrices as they lie in the file, concatenated where one
 * kernel reads several, split where a binding is too small; small vectors widened to f32.
 * @module
 */
import type { GpuMemory } from "../gpu/memory.ts";
import {
  decode,
  findNonFinite,
  type FloatDtype,
  type Snapshot,
  type Tensor,
  WeightsError,
} from "../../weights/mod.ts";
import { INT8_SCALE_ROWS, int8ScaleCount } from "../../shaders/quantize/quantize.ts";
import type { FormatName, Matrix, MatrixSlice } from "./parts.ts";
import { SCALE_BLOCK } from "./names.ts";
import { allEnded, Lanes } from "../lanes.ts";
import { QUANTIZED_ROWS, type Quantizer } from "./quantizer.ts";

/** How much is read and uploaded in one piece, and how many pieces at a time. */
const READ_BYTES = 16 * 1024 * 1024;
const READS_AT_ONCE = 4;

/** Where placing stands: bytes of the trunk read so far. */
export type OnBytes = (bytes: number) => void;

/** Takes whole rows from a row on. */
type WriteRows = (row: number, bytes: Uint8Array<ArrayBuffer>) => void;

interface Part {
  readonly tensor: Tensor;
  readonly rows: number;
}

/** Places tensors of one snapshot into one GPU memory; several may be on their way at a time. */
export class Placement {
  readonly #memory: GpuMemory;
  readonly #snapshot: Snapshot;
  readonly #onBytes: OnBytes;
  readonly #lanes = new Lanes(READS_AT_ONCE);

  constructor(
    memory: GpuMemory,
    snapshot: Snapshot,
    onBytes: OnBytes = () => {},
  ) {
    this.#memory = memory;
    this.#snapshot = snapshot;
    this.#onBytes = onBytes;
  }

  /**
   * The rows of the named matrices, one after another, as one matrix; with a quantizer, BF16 is rounded to int8.
   * @throws {WeightsError} if their formats or widths differ, or a weight is not finite
   */
  async matrix(names: readonly string[], quantizer: Quantizer | null = null): Promise<Matrix> {
    const parts = names.map((name): Part => {
      const tensor = this.#snapshot.tensor(name);
      return { tensor, rows: tensor.shape[0]! };
    });
    const k = parts[0]!.tensor.shape[1]!;
    const format = this.#format(parts, k);
    const n = parts.reduce((sum, part) => sum + part.rows, 0);
    if (quantizer && format === "bf16") return await this.#quantized(parts, n, k, quantizer);
    const scaleRows = format === "fp8" ? commonScaleRows(parts) : SCALE_BLOCK;
    const rowBytes = format === "fp8" ? k : 2 * k;
    const most = sliceRows(rowBytes, this.#memory.maxBinding);
    const slices: MatrixSlice[] = [];
    for (let first = 0; first < n; first += most) {
      const rows = Math.min(most, n - first);
      const codes = this.#memory.storage("trunk", names[0]!, rows * rowBytes);
      const write = (row: number, bytes: Uint8Array<ArrayBuffer>) =>
        this.#memory.write(codes, row * rowBytes, bytes);
      await this.#upload([...overlaps(parts, first, rows)], rowBytes, write);
      const scales = format === "fp8" ? await this.#scales(parts, first, rows, k, scaleRows) : null;
      slices.push({ firstRow: first, rows, codes, scales });
    }
    return { format, n, k, scaleRows, slices };
  }

  /**
   * A small tensor, widened to an f32 buffer.
   * @throws {WeightsError} if an element is not finite
   */
  async vector(name: string): Promise<GPUBuffer> {
    const tensor = this.#snapshot.tensor(name);
    const bytes = await tensor.read();
    this.#took(tensor, bytes);
    return this.#memory.upload("trunk", name, decode(bytes, tensor.dtype as FloatDtype));
  }

  #format(parts: readonly Part[], k: number): FormatName {
    const formats = parts.map(({ tensor }): FormatName =>
      tensor.dtype === "F8_E4M3" ? "fp8" : "bf16"
    );
    const other = parts.findIndex(({ tensor }, i) =>
      formats[i] !== formats[0] || tensor.shape[1] !== k
    );
    if (other < 0) return formats[0]!;
    const found = parts[other]!.tensor;
    throw new WeightsError(
      `Cannot load "${found.name}" with "${parts[0]!.tensor.name}": found ${found.dtype} with ${
        found.shape[1]
      } ` +
        `columns, expected ${parts[0]!.tensor.dtype} with ${k}`,
    );
  }

  async #quantized(
    parts: readonly Part[],
    n: number,
    k: number,
    quantizer: Quantizer,
  ): Promise<Matrix> {
    const slices: MatrixSlice[] = [];
    const most = sliceRows(k, this.#memory.maxBinding);
    for (let first = 0; first < n; first += most) {
      const rows = Math.min(most, n - first);
      const codes = this.#memory.storage("trunk", parts[0]!.tensor.name, rows * k);
      const scales = this.#memory.storage("trunk", "scales", 2 * int8ScaleCount({ rows, k }));
      const write = (firstRow: number, weights: Uint8Array<ArrayBuffer>) =>
        quantizer.write({ weights, firstRow, rows: weights.length / (2 * k), k, codes, scales });
      await this.#upload([...overlaps(parts, first, rows)], 2 * k, write, QUANTIZED_ROWS);
      slices.push({ firstRow: first, rows, codes, scales });
    }
    return { format: "int8", n, k, scaleRows: INT8_SCALE_ROWS, slices };
  }

  /** Reads in pieces of `together` rows or a multiple. */
  async #upload(
    ranges: readonly Range[],
    rowBytes: number,
    write: WriteRows,
    together = 1,
  ): Promise<void> {
    const step = Math.max(1, Math.floor(READ_BYTES / rowBytes / together)) * together;
    const pieces: Promise<void>[] = [];
    for (const { tensor, fromRow, toRow, rows } of ranges) {
      for (let row = 0; row < rows; row += step) {
        pieces.push(this.#lanes.run(async () => {
          const bytes = new Uint8Array(Math.min(step, rows - row) * rowBytes);
          await tensor.readInto((fromRow + row) * rowBytes, bytes);
          this.#took(tensor, bytes);
          write(toRow + row, bytes);
        }));
      }
    }
    await allEnded(pieces);
  }

  /** Scales repeated so that every `scaleRows` rows of the concatenation have a row of their own. */
  async #scales(
    parts: readonly Part[],
    first: number,
    rows: number,
    k: number,
    scaleRows: number,
  ): Promise<GPUBuffer> {
    const across = Math.ceil(k / SCALE_BLOCK);
    const table = new Uint16Array(Math.ceil(rows / scaleRows) * across);
    for (const range of overlaps(parts, first, rows)) {
      const tensor = this.#snapshot.scaleOf(range.tensor.name)!;
      const bytes = await tensor.read();
      this.#took(tensor, bytes);
      const scales = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
      for (let row = 0; row < range.rows; row += scaleRows) {
        const from = Math.floor((range.fromRow + row) / SCALE_BLOCK) * across;
        const to = Math.floor((range.toRow + row) / scaleRows) * across;
        table.set(scales.subarray(from, from + across), to);
      }
    }
    return this.#memory.upload("trunk", "scales", table);
  }

  #took(tensor: Tensor, bytes: Uint8Array<ArrayBuffer>): void {
    const at = findNonFinite(bytes, tensor.dtype as FloatDtype);
    if (at >= 0) {
      throw new WeightsError(
        `Cannot load "${tensor.name}" of "${tensor.file}": a weight is not a finite number, download the shard again`,
      );
    }
    this.#onBytes(bytes.length);
  }
}

/**
 * Rows of a slice: all that fit a binding, in whole blocks of scales.
 * @throws {RangeError} if a binding holds less than one block of them
 */
export function sliceRows(rowBytes: number, maxBinding: number): number {
  const rows = Math.floor(maxBinding / rowBytes);
  if (rows < SCALE_BLOCK) {
    throw new RangeError(
      `Cannot place a matrix with rows of ${rowBytes} bytes: the device binds ${maxBinding} bytes, ` +
        `which is less than ${SCALE_BLOCK} rows`,
    );
  }
  return rows - (rows % SCALE_BLOCK);
}

/** The largest divisor of the block size at which every part of the concatenation starts. */
function commonScaleRows(parts: readonly Part[]): number {
  let start = 0;
  let common = SCALE_BLOCK;
  for (const part of parts) {
    common = gcd(common, start);
    start += part.rows;
  }
  return common;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** Rows of one tensor and where they go. */
interface Range extends Part {
  readonly fromRow: number;
  readonly toRow: number;
}

/** Which rows of which part lie in rows [first, first + rows) of the concatenation. */
function* overlaps(parts: readonly Part[], first: number, rows: number): Generator<Range> {
  let start = 0;
  for (const { tensor, rows: length } of parts) {
    const from = Math.max(first, start);
    const to = Math.min(first + rows, start + length);
    if (from < to) yield { tensor, fromRow: from - start, toRow: from - first, rows: to - from };
    start += length;
  }
}
