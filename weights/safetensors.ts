/**
 * The header of a safetensors file: 8 bytes of length (u64, little-endian), JSON that names each tensor
 * with dtype, shape and byte range, then the data without gaps.
 * @module
 */
import { type Dtype, DTYPE_BYTES, isDtype } from "./dtype.ts";
import { WeightsError } from "./errors.ts";
import type { ByteSource } from "./byte_source.ts";

/** One tensor of a file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** The byte behind the last. */
  readonly end: number;
  /** Path of the file. */
  readonly file: string;
}

/** The format's own bound on a header. */
const MAX_HEADER_BYTES = 100_000_000;
/** How a file that is not whole is mended. */
const AGAIN = "download it again";

/**
 * The checked tensor table of an open file, in the order of the data.
 * @throws {WeightsError} if the header is not sound or the file's size differs from what it describes.
 */
export function readTensorTable(source: ByteSource): ReadonlyMap<string, TensorEntry> {
  const { path, size } = source;
  const headerBytes = readHeaderLength(source);
  const dataStart = 8 + headerBytes;
  const text = readHeaderText(source, headerBytes);
  const entries = Object.entries(parseHeader(path, text))
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => readEntry(path, name, value, dataStart));
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const end = checkTiling(path, entries, dataStart);
  if (end !== size) {
    const state = size < end ? "truncated" : "too long";
    throw new WeightsError(
      `Cannot load "${path}": the file is ${state}, found ${size} bytes, expected ${end}` +
        `${nameFirstBeyond(entries, size)}, ${AGAIN}`,
    );
  }
  return new Map(entries.map((entry) => [entry.name, entry]));
}

/** Elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function readHeaderLength(source: ByteSource): number {
  const { path, size } = source;
  if (size < 8) {
    throw new WeightsError(
      `Cannot load "${path}": found ${size} bytes, expected at least the 8 of the header's length, ` +
        AGAIN,
    );
  }
  const prefix = new Uint8Array(8);
  source.readSync(0, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  // Where a snapshot is cloned without Git LFS, this text stands in each file's place.
  if (new TextDecoder().decode(prefix) === "version ") {
    throw new WeightsError(
      `Cannot load "${path}": found a Git LFS pointer, expected the file itself, run "git lfs pull"`,
    );
  }
  if (length > BigInt(size - 8)) {
    throw new WeightsError(
      `Cannot load "${path}": the header is longer than the file, ` +
        `found ${size} bytes, expected at least ${length + 8n}, ${AGAIN}`,
    );
  }
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new WeightsError(
      `Cannot load "${path}": the header has ${length} bytes, expected at most ${MAX_HEADER_BYTES}`,
    );
  }
  return Number(length);
}

function readHeaderText(source: ByteSource, length: number): string {
  const bytes = new Uint8Array(length);
  source.readSync(8, bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new WeightsError(`Cannot load "${source.path}": the header is not UTF-8`);
  }
}

function parseHeader(path: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new WeightsError(`Cannot load "${path}": the header is not JSON, ${reason}`);
  }
  if (!isRecord(value)) {
    throw new WeightsError(`Cannot load "${path}": the header is not a JSON object`);
  }
  const twice = firstDuplicateKey(text);
  if (twice !== undefined) {
    throw new WeightsError(`Cannot load "${path}": the header names ${twice} twice`);
  }
  return value;
}

function readEntry(path: string, name: string, value: unknown, dataStart: number): TensorEntry {
  const refuse = (what: string) =>
    new WeightsError(`Cannot load tensor "${name}" of "${path}": ${what}`);
  if (!isRecord(value)) throw refuse("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype)) {
    throw refuse(
      `unknown dtype ${JSON.stringify(dtype)}, expected one of ${
        Object.keys(DTYPE_BYTES).join(", ")
      }`,
    );
  }
  if (!isCounts(shape)) {
    throw refuse(`shape is ${JSON.stringify(shape)}, expected a list of non-negative integers`);
  }
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw refuse(`data_offsets are ${JSON.stringify(offsets)}, expected two non-negative integers`);
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end) throw refuse(`data_offsets run backwards, from ${begin} to ${end}`);
  const wanted = elementCount(shape) * DTYPE_BYTES[dtype];
  if (end - begin !== wanted) {
    throw refuse(
      `found ${end - begin} bytes, expected ${wanted} for ${dtype} [${shape.join(", ")}]`,
    );
  }
  return { name, dtype, shape, begin: begin + dataStart, end: end + dataStart, file: path };
}

/** Returns the end of the last tensor; the entries must be sorted by place. */
function checkTiling(path: string, entries: readonly TensorEntry[], dataStart: number): number {
  let end = dataStart;
  let before = "the header";
  for (const { name, begin, end: next } of entries) {
    if (begin !== end) {
      const fault = begin < end ? "overlaps" : "leaves a hole behind";
      throw new WeightsError(
        `Cannot load tensor "${name}" of "${path}": it ${fault} ${before}, ` +
          `found its first byte at ${begin}, expected at ${end}`,
      );
    }
    end = next;
    before = `"${name}"`;
  }
  return end;
}

function nameFirstBeyond(entries: readonly TensorEntry[], size: number): string {
  const beyond = entries.find((entry) => entry.end > size);
  return beyond === undefined ? "" : `, "${beyond.name}" ends at ${beyond.end}`;
}

/** JSON.parse keeps the last of equal keys: this looks for one among those of the outer object. */
function firstDuplicateKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  let isKey = false;
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gs;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const part = match[0];
    if (part === "{" || part === "[") isKey = ++depth === 1;
    else if (part === "}" || part === "]") depth--;
    else if (part === ",") isKey = depth === 1;
    else if (part === ":") isKey = false;
    else if (isKey && depth === 1) {
      const key = String(JSON.parse(part));
      if (seen.has(key)) return part;
      seen.add(key);
    }
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
