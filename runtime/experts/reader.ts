/**
 * Reads routed experts from a snapshot and packs each into one upload, laid out as
 * `shaders/common/expert_layout.ts` says. Official FP8 snapshots hold three matrices with scales an expert;
 * BF16 ones hold the same matrices without scales, or all experts of a layer fused into two tensors.
 * @module
 */
import {
  type ExpertFormat,
  type ExpertLayout,
  expertLayout,
  type ExpertPart,
} from "../../shaders/common/expert_layout.ts";
import { findNonFinite, type ReadWay, type Snapshot, WeightsError } from "../../weights/mod.ts";

/** Which experts there are. */
export interface ExpertReaderOptions {
  readonly snapshot: Snapshot;
  /** What stands before `layers.`, for example "model.language_model.". */
  readonly prefix: string;
  readonly layers: number;
  readonly experts: number;
  readonly hidden: number;
  readonly dff: number;
}

/** Where one part of a slot comes from. */
interface Piece {
  readonly part: ExpertPart;
  readonly tensor: string;
  /** Bytes from the start of the tensor. */
  readonly offset: number;
  readonly dtype: "F8_E4M3" | "BF16";
  /** The tensor's bytes if it is the expected one. */
  readonly tensorBytes: number;
}

/** Bytes that lie together in a file and in a slot: one read. */
interface Run {
  readonly file: string;
  /** Bytes from the start of the file. */
  readonly at: number;
  /** Bytes from the start of the slot. */
  readonly to: number;
  readonly byteLength: number;
}

/** Reads experts one at a time or several at once. */
export class ExpertReader {
  readonly layout: ExpertLayout;
  /** How files are read; experts must be the same by any. */
  way: ReadWay = "pread";
  readonly #options: ExpertReaderOptions;
  readonly #fused: boolean;
  readonly #idle: Uint8Array<ArrayBuffer>[] = [];
  #bytesRead = 0;

  /** @throws {WeightsError} if the layers do not all store their experts in one format. */
  constructor(options: ExpertReaderOptions) {
    this.#options = options;
    const styles = Array.from({ length: options.layers }, (_, layer) => styleOf(options, layer));
    const first = styles[0] ?? { format: "bf16", fused: false };
    const other = styles.findIndex((style) =>
      style.format !== first.format || style.fused !== first.fused
    );
    if (other >= 0) {
      throw new WeightsError(
        `Cannot read experts: "${expertsPrefix(options, other)}" is ${describe(styles[other])}, ` +
          `expected ${describe(first)} as in layer 0`,
      );
    }
    this.#fused = first.fused;
    this.layout = expertLayout({ hidden: options.hidden, dff: options.dff, format: first.format });
  }

  /**
   * Whether the shared experts, of this width, are stored like the routed ones in every layer, so that a slot can
   * hold them.
   */
  sharedFits(dff: number): boolean {
    const { snapshot, layers } = this.#options;
    const fp8 = this.layout.format === "fp8";
    return dff === this.layout.dff && Array.from({ length: layers }, (_, layer) => {
      const at = sharedPrefix(this.#options, layer);
      return ["gate", "up", "down"].every((matrix) =>
        fp8 === (snapshot.scaleOf(`${at}${matrix}_proj.weight`) !== undefined)
      );
    }).every(Boolean);
  }

  /** Bytes of routed experts read from files since start, without padding. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /**
   * Reads one expert, checks that all its numbers are finite, and hands `layout.stride` bytes to `use`, which
   * must be done with them when it returns. Returns the bytes read. Each call under way holds a buffer.
   * @throws {WeightsError} if a tensor is missing, of another size, cannot be read, or holds NaN or infinity.
   */
  async load(
    layer: number,
    expert: number,
    use: (slot: Uint8Array<ArrayBuffer>) => void,
  ): Promise<number> {
    await this.#fill(this.#pieces(layer, expert), use);
    this.#bytesRead += this.layout.byteLength;
    return this.layout.byteLength;
  }

  /**
   * Reads one expert in the given way and forgets it: for timing. Returns the bytes read.
   * @throws {WeightsError} as `load`, but numbers are not looked at
   */
  async tryOut(layer: number, expert: number, way: ReadWay): Promise<number> {
    await this.#withBuffer((buffer) => this.#read(this.#pieces(layer, expert), buffer, way));
    return this.layout.byteLength;
  }

  /** Reads that an expert takes: two in the publisher's FP8 files, codes and scales. */
  reads(layer: number, expert: number): number {
    return this.#runs(this.#pieces(layer, expert)).length;
  }

  /** How files can be read here. */
  get ways(): readonly ReadWay[] {
    return this.#options.snapshot.ways;
  }

  /** Tells the system that an expert will be loaded soon; false where it cannot be told or need not be. */
  willNeed(layer: number, expert: number): boolean {
    const { snapshot } = this.#options;
    return this.#runs(this.#pieces(layer, expert))
      .map(({ file, at, byteLength }) => snapshot.willNeed(file, at, byteLength)).some(Boolean);
  }

  /**
   * As `load`, for the shared expert of a layer where `sharedFits`.
   * @throws {WeightsError} as `load`
   */
  async loadShared(layer: number, use: (slot: Uint8Array<ArrayBuffer>) => void): Promise<number> {
    await this.#fill(this.#matrices(sharedPrefix(this.#options, layer)), use);
    return this.layout.byteLength;
  }

  async #fill(
    pieces: readonly Piece[],
    use: (slot: Uint8Array<ArrayBuffer>) => void,
  ): Promise<void> {
    await this.#withBuffer(async (buffer) => {
      await this.#read(pieces, buffer, this.way);
      for (const piece of pieces) this.#checkFinite(piece, buffer);
      use(buffer);
    });
  }

  async #withBuffer(use: (buffer: Uint8Array<ArrayBuffer>) => Promise<void>): Promise<void> {
    // Buffers come back with the same parts filled, so the padding stays zero.
    const buffer = this.#idle.pop() ?? new Uint8Array(this.layout.stride);
    try {
      await use(buffer);
    } finally {
      this.#idle.push(buffer);
    }
  }

  #checkFinite(piece: Piece, buffer: Uint8Array<ArrayBuffer>): void {
    const index = findNonFinite(bytesOf(piece, buffer), piece.dtype);
    if (index < 0) return;
    const element = piece.offset / (piece.dtype === "BF16" ? 2 : 1) + index;
    const { file } = this.#options.snapshot.tensor(piece.tensor);
    throw new WeightsError(
      `Cannot use "${piece.tensor}" of "${file}": element ${element} is NaN or infinite, ` +
        `expected finite numbers, download the file again`,
    );
  }

  async #read(
    pieces: readonly Piece[],
    buffer: Uint8Array<ArrayBuffer>,
    way: ReadWay,
  ): Promise<void> {
    const { snapshot } = this.#options;
    const reads = this.#runs(pieces).map(({ file, at, to, byteLength }) =>
      snapshot.readInto(file, at, buffer.subarray(to, to + byteLength), way)
    );
    // All of them end before the buffer serves another expert.
    const results = await Promise.allSettled(reads);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Joins pieces that are neighbours in the file and in the slot. */
  #runs(pieces: readonly Piece[]): readonly Run[] {
    const runs: Run[] = [];
    for (const piece of pieces) {
      const run = this.#runOf(piece);
      const last = runs.at(-1);
      const joins = last !== undefined && last.file === run.file &&
        last.at + last.byteLength === run.at && last.to + last.byteLength === run.to;
      if (joins) runs.push({ ...runs.pop()!, byteLength: last.byteLength + run.byteLength });
      else runs.push(run);
    }
    return runs;
  }

  #runOf({ tensor: name, offset, part, tensorBytes, dtype }: Piece): Run {
    const { file, begin, byteLength, dtype: found } = this.#options.snapshot.tensor(name);
    if (byteLength !== tensorBytes || found !== dtype) {
      throw new WeightsError(
        `Cannot read experts: "${name}" is ${found} of ${byteLength} bytes ` +
          `in "${file}", expected ${dtype} of ${tensorBytes}`,
      );
    }
    return { file, at: begin + offset, to: part.offset, byteLength: part.byteLength };
  }

  #pieces(layer: number, expert: number): readonly Piece[] {
    const at = expertsPrefix(this.#options, layer);
    if (!this.#fused) return this.#matrices(`${at}${expert}.`);
    const { gate, up, down } = this.layout;
    const { experts } = this.#options;
    const pair = 2 * gate.byteLength;
    const both = {
      tensor: `${at}gate_up_proj`,
      dtype: "BF16",
      tensorBytes: experts * pair,
    } as const;
    return [
      {
        part: down,
        tensor: `${at}down_proj`,
        offset: expert * down.byteLength,
        dtype: "BF16",
        tensorBytes: experts * down.byteLength,
      },
      { ...both, part: gate, offset: expert * pair },
      { ...both, part: up, offset: expert * pair + gate.byteLength },
    ];
  }

  /** The 2-D matrices of one expert, with their scales if it has any, in the order of a slot. */
  #matrices(at: string): readonly Piece[] {
    const { gate, up, down } = this.layout;
    const name = (matrix: string) => `${at}${matrix}_proj.weight`;
    const dtype = this.layout.format === "fp8" ? "F8_E4M3" : "BF16";
    const { gateScale, upScale, downScale } = this.layout;
    return [
      whole(down, name("down"), dtype),
      whole(gate, name("gate"), dtype),
      whole(up, name("up"), dtype),
      ...downScale === undefined ? [] : [whole(downScale, `${name("down")}_scale_inv`, "BF16")],
      ...gateScale === undefined ? [] : [whole(gateScale, `${name("gate")}_scale_inv`, "BF16")],
      ...upScale === undefined ? [] : [whole(upScale, `${name("up")}_scale_inv`, "BF16")],
    ];
  }
}

function styleOf(
  options: ExpertReaderOptions,
  layer: number,
): { readonly format: ExpertFormat; readonly fused: boolean } {
  const at = expertsPrefix(options, layer);
  if (options.snapshot.has(`${at}gate_up_proj`)) return { format: "bf16", fused: true };
  const scales = options.snapshot.scaleOf(`${at}0.gate_proj.weight`);
  return { format: scales === undefined ? "bf16" : "fp8", fused: false };
}

function describe(style: { format: ExpertFormat; fused: boolean } | undefined): string {
  return `${style?.fused ? "fused " : "one expert a tensor, "}${style?.format}`;
}

function expertsPrefix({ prefix }: ExpertReaderOptions, layer: number): string {
  return `${prefix}layers.${layer}.mlp.experts.`;
}

function sharedPrefix({ prefix }: ExpertReaderOptions, layer: number): string {
  return `${prefix}layers.${layer}.mlp.shared_expert.`;
}

function whole(part: ExpertPart, tensor: string, dtype: "F8_E4M3" | "BF16"): Piece {
  return { part, tensor, offset: 0, dtype, tensorBytes: part.byteLength };
}

function bytesOf({ part }: Piece, buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return buffer.subarray(part.offset, part.offset + part.byteLength);
}
