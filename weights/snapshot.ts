/** An open snapshot: its tensors by name. @module */
import { WeightsError } from "./errors.ts";
import type { ByteSource, ReadWay, SourceKind } from "./byte_source.ts";
import type { Tensor } from "./tensor.ts";

/** The open files of a snapshot and the tensors in them. */
export class Snapshot {
  readonly folder: string;
  /** How bytes are reached; "pread" for a snapshot without files. */
  readonly kind: SourceKind;
  /** Bytes of all tensors. */
  readonly byteLength: number;
  /** Faults that do not keep the snapshot from being used, a line each. */
  readonly warnings: readonly string[];
  readonly #sources: readonly ByteSource[];
  readonly #tensors: ReadonlyMap<string, Tensor>;

  /** For `openSnapshot`. */
  constructor(
    folder: string,
    sources: readonly ByteSource[],
    { tensors, warnings }: { tensors: ReadonlyMap<string, Tensor>; warnings: readonly string[] },
  ) {
    this.folder = folder;
    this.kind = sources[0]?.kind ?? "pread";
    this.warnings = warnings;
    this.#sources = sources;
    this.#tensors = tensors;
    this.byteLength = totalBytes(tensors.values());
  }

  /** Bytes read from the files since they were opened, headers among them. */
  get bytesRead(): number {
    return this.#sources.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  }

  /** Names of all tensors. */
  names(): IterableIterator<string> {
    return this.#tensors.keys();
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws {WeightsError} if there is no tensor of this name. */
  tensor(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new WeightsError(`Cannot load "${name}": "${this.folder}" has no such tensor`);
    }
    return tensor;
  }

  /** The block scales of an FP8 tensor: `<name>_scale_inv`. A tensor is FP8 exactly if they exist. */
  scaleOf(name: string): Tensor | undefined {
    return this.#tensors.get(`${name}_scale_inv`);
  }

  /** How `readInto` can go about it in every file. */
  get ways(): readonly ReadWay[] {
    const [first, ...rest] = this.#sources;
    return (first?.ways ?? []).filter((way) => rest.every(({ ways }) => ways.includes(way)));
  }

  /**
   * Fills `into` with the bytes of a file of the snapshot from `offset` on, across tensors if need be.
   * @throws {WeightsError} if they cannot be read, or the snapshot has no such file
   */
  async readInto(
    file: string,
    offset: number,
    into: Uint8Array<ArrayBuffer>,
    way?: ReadWay,
  ): Promise<void> {
    await this.#source(file).readInto(offset, into, way);
  }

  /** Whether `willNeed` does anything. */
  get canHint(): boolean {
    return this.#sources.every(({ canHint }) => canHint);
  }

  /** Tells the system that a range of a file will be read soon, unless it cannot or need not be told: false. */
  willNeed(file: string, offset: number, length: number): boolean {
    return this.#source(file).willNeed(offset, length);
  }

  /** Closes the files; reads under way end first. */
  close(): void {
    for (const source of this.#sources) source.close();
  }

  #source(file: string): ByteSource {
    const source = this.#sources.find(({ path }) => path === file);
    if (source) return source;
    throw new WeightsError(`Cannot read "${file}": "${this.folder}" has no such file`);
  }
}

/** Bytes of the tensors together. */
export function totalBytes(tensors: Iterable<Tensor>): number {
  let sum = 0;
  for (const tensor of tensors) sum += tensor.byteLength;
  return sum;
}
