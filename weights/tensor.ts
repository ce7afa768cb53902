/** One tensor of an open snapshot. @module */
import type { Dtype } from "./dtype.ts";
import { WeightsError } from "./errors.ts";
import type { TensorEntry } from "./safetensors.ts";
import type { ByteSource } from "./byte_source.ts";

/** A header entry with the file it is read from. Data is read on demand and never kept. */
export class Tensor implements TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
  readonly file: string;
  readonly byteLength: number;
  readonly #source: ByteSource;

  /** For `openSnapshot`. */
  constructor(entry: TensorEntry, source: ByteSource) {
    this.name = entry.name;
    this.dtype = entry.dtype;
    this.shape = entry.shape;
    this.begin = entry.begin;
    this.end = entry.end;
    this.file = entry.file;
    this.byteLength = entry.end - entry.begin;
    this.#source = source;
  }

  /** All bytes. @throws {WeightsError} if they cannot be read. */
  read(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#source.read(this.begin, this.byteLength);
  }

  /** Fills `into` with the bytes from `offset` of the tensor on. @throws {WeightsError} if they cannot be read. */
  async readInto(offset: number, into: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#check(offset, into.length);
    await this.#source.readInto(this.begin + offset, into);
  }

  /** As `readInto`, on the calling thread. */
  readSync(offset: number, into: Uint8Array<ArrayBuffer>): void {
    this.#check(offset, into.length);
    this.#source.readSync(this.begin + offset, into);
  }

  #check(offset: number, length: number): void {
    if (offset >= 0 && offset + length <= this.byteLength) return;
    throw new WeightsError(
      `Cannot read "${this.name}": bytes ${offset} to ${offset + length} asked for, ` +
        `it has ${this.byteLength}`,
    );
  }
}
