/**
 * Puts the trunk of a snapshot on the GPU: matrices as they lie in the file, concatenated where one
 * kernel reads several, split where a binding is too small; small vectors widened to f32.
 * @module
 */
import type { GpuMemory } from "../gpu/memory.ts";
import type { FormatName, Matrix, MatrixSlice } from "./parts.ts";
import { SCALE_BLOCK, SCALE_SUFFIX } from "./names.ts";

/** The bytes of a snapshot's tensors, by name. */
export interface TensorSource {
  /** Safetensors dtype, or undefined if there is no such tensor. */
  dtypeOf(name: string): string | undefined;
  /** @throws {Error} if there is no such tensor */
  shapeOf(name: string): readonly number[];
  /** `length` bytes of a tensor from `offset`. */
  read(name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A weight that cannot be used; names the tensor. */
export class PlacementError extends Error {
  override name = "PlacementError";
}

/** How much is read and uploaded at a time. */
const READ_BYTES = 16 * 1024 * 1024;

/** Where placing stands: bytes of the trunk read so far. */
export type OnBytes = (bytes: number) => void;

interface Part {
  readonly name: string;
  readonly rows: number;
}

/** Places tensors of one snapshot into one GPU memory. */
export class Placement {
  readonly #device: GPUDevice;
  readonly #memory: GpuMemory;
  readonly #source: TensorSource;
  readonly #onBytes: OnBytes;

  constructor(
    device: GPUDevice,
    memory: GpuMemory,
    source: TensorSource,
    onBytes: OnBytes = () => {},
  ) {
    this.#device = device;
    this.#memory = memory;
    this.#source = source;
    this.#onBytes = onBytes;
  }

  /**
   * The rows of the named matrices, one after another, as one matrix.
   * @throws {PlacementError} if their formats or widths differ, or a weight is NaN
   */
  async matrix(names: readonly string[]): Promise<Matrix> {
    const parts = names.map((name) => ({ name, rows: this.#source.shapeOf(name)[0]! }));
    const k = this.#source.shapeOf(names[0]!)[1]!;
    const format = this.#format(names);
    const n = parts.reduce((sum, part) => sum + part.rows, 0);
    const scaleRows = format === "fp8" ? commonScaleRows(parts) : SCALE_BLOCK;
    const rowBytes = format === "fp8" ? k : 2 * k;
    const most = sliceRows(rowBytes, this.#memory.maxBinding);
    const slices: MatrixSlice[] = [];
    for (let first = 0; first < n; first += most) {
      const rows = Math.min(most, n - first);
      const codes = this.#memory.storage("trunk", names[0]!, rows * rowBytes);
      await this.#upload(parts, first, rows, rowBytes, codes, format);
      const scales = format === "fp8" ? await this.#scales(parts, first, rows, k, scaleRows) : null;
      slices.push({ firstRow: first, rows, codes, scales });
    }
    return { format, n, k, scaleRows, slices };
  }

  /** A small tensor as an f32 buffer. */
  async vector(name: string): Promise<GPUBuffer> {
    return this.#memory.upload("trunk", name, await this.values(name));
  }

  /**
   * A small tensor as f32 values.
   * @throws {PlacementError} if one of them is NaN
   */
  async values(name: string): Promise<Float32Array<ArrayBuffer>> {
    const dtype = this.#source.dtypeOf(name);
    const length = this.#source.shapeOf(name).reduce((product, size) => product * size, 1);
    const bytes = await this.#source.read(name, 0, length * (dtype === "F32" ? 4 : 2));
    const values = dtype === "F32" ? new Float32Array(bytes.slice().buffer) : widenBf16(bytes);
    const bad = values.findIndex(Number.isNaN);
    if (bad >= 0) throw new PlacementError(`Cannot load "${name}": element ${bad} is NaN`);
    this.#onBytes(bytes.length);
    return values;
  }

  #format(names: readonly string[]): FormatName {
    const formats = names.map((name): FormatName =>
      this.#source.dtypeOf(name + SCALE_SUFFIX) === undefined ? "bf16" : "fp8"
    );
    const other = formats.findIndex((format) => format !== formats[0]);
    if (other < 0) return formats[0]!;
    throw new PlacementError(
      `Cannot load "${names[other]}": its format is ${formats[other]}, expected ${
        formats[0]
      } like "${names[0]}"`,
    );
  }

  async #upload(
    parts: readonly Part[],
    first: number,
    rows: number,
    rowBytes: number,
    target: GPUBuffer,
    format: FormatName,
  ): Promise<void> {
    const step = Math.max(1, Math.floor(READ_BYTES / rowBytes));
    for (const range of overlaps(parts, first, rows)) {
      for (let row = 0; row < range.rows; row += step) {
        const count = Math.min(step, range.rows - row);
        const from = (range.fromRow + row) * rowBytes;
        const bytes = await this.#source.read(range.name, from, count * rowBytes);
        checkFinite(range.name, bytes, format);
        this.#device.queue.writeBuffer(target, (range.toRow + row) * rowBytes, bytes);
        this.#onBytes(bytes.length);
      }
    }
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
      const name = range.name + SCALE_SUFFIX;
      const down = this.#source.shapeOf(name)[0]!;
      const bytes = await this.#source.read(name, 0, down * across * 2);
      checkFinite(name, bytes, "bf16");
      this.#onBytes(bytes.length);
      const scales = new Uint16Array(bytes.slice().buffer);
      for (let row = 0; row < range.rows; row += scaleRows) {
        const from = Math.floor((range.fromRow + row) / SCALE_BLOCK) * across;
        const to = Math.floor((range.toRow + row) / scaleRows) * across;
        table.set(scales.subarray(from, from + across), to);
      }
    }
    return this.#memory.upload("trunk", "scales", table);
  }
}

/** Rows of a slice: all that fit a binding, in whole blocks of scales. */
function sliceRows(rowBytes: number, maxBinding: number): number {
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

/** Which rows of which part lie in rows [first, first + rows) of the concatenation. */
function* overlaps(
  parts: readonly Part[],
  first: number,
  rows: number,
): Generator<{ name: string; fromRow: number; toRow: number; rows: number }> {
  let start = 0;
  for (const part of parts) {
    const from = Math.max(first, start);
    const to = Math.min(first + rows, start + part.rows);
    if (from < to) {
      yield { name: part.name, fromRow: from - start, toRow: from - first, rows: to - from };
    }
    start += part.rows;
  }
}

function checkFinite(name: string, bytes: Uint8Array<ArrayBuffer>, format: FormatName): void {
  const at = format === "fp8" ? findNanFp8(bytes) : findNanBf16(bytes);
  if (at >= 0) {
    throw new PlacementError(`Cannot load "${name}": a weight is NaN, the file is damaged`);
  }
}

function findNanFp8(bytes: Uint8Array): number {
  return bytes.findIndex((code) => (code & 0x7f) === 0x7f);
}

function findNanBf16(bytes: Uint8Array<ArrayBuffer>): number {
  const values = new Uint16Array(bytes.slice().buffer);
  return values.findIndex((bits) => (bits & 0x7fff) > 0x7f80);
}

function widenBf16(bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const halves = new Uint16Array(bytes.slice().buffer);
  const words = Uint32Array.from(halves, (half) => half << 16);
  return new Float32Array(words.buffer);
}
