/** Writes a synthetic snapshot. @module */
import { statfsSync } from "node:fs";
import { elementCount, readReason, type TensorToWrite, writeSnapshot } from "../../weights/mod.ts";
import { size } from "../plan.ts";
import { contents } from "./contents.ts";
import { inventory, type SynthModel } from "./inventory.ts";
import { Pools } from "./pool.ts";
import { Sticky } from "./sticky.ts";

/** A snapshot to be made. */
export interface SynthRequest {
  readonly model: SynthModel;
  readonly seed: number;
  /** How sticky routing is, in [0, 1]: what routers read of the slow channels against the fast ones. FP8 only. */
  readonly locality: number;
  /** Made if it is not there; must be empty. */
  readonly folder: string;
  /** Where tokenizer, chat template and sampling defaults are copied from, as far as they are there. */
  readonly borrowFrom: string;
}

/** What was written. */
export interface SynthResult {
  readonly tensors: number;
  /** Bytes of all tensors. */
  readonly byteLength: number;
}

/** A snapshot that cannot be written here. */
export class SynthError extends Error {
  override name = "SynthError";
}

/** The stickiness that gives about 45 % repeats at the next token with 8 of 256 experts. */
export const DEFAULT_LOCALITY = 0.9;

const SHARD_BYTES = 1e9;
const BORROWED = [
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "generation_config.json",
];

/**
 * Writes shards and index, then the borrowed files, and config.json last: a folder with a config.json is whole.
 * @param progress called with the tensor bytes written so far
 * @throws {SynthError} if the folder is not empty or cannot be made, or the disk has too little room, now or later
 * @throws {RangeError} if the model cannot be cut as asked
 */
export function synthesize(
  { model, seed, locality, folder, borrowFrom }: SynthRequest,
  progress: (done: number, total: number) => void = () => {},
): SynthResult {
  const list = inventory(model);
  makeEmpty(folder);
  checkRoom(folder, list.byteLength);
  const sticky = model.format === "fp8" ? Sticky.of(list.config, locality) : null;
  const largest = list.tensors.reduce((most, { shape }) => Math.max(most, elementCount(shape)), 0);
  const tensors = contents(list, new Pools(seed, largest), { seed, sticky });
  let done = 0;
  const count = (bytes: number) => progress(done += bytes, list.byteLength);
  const config = JSON.stringify(list.configJson, null, 2) + "\n";
  reported(folder, () => {
    writeSnapshot(folder, tensors.map((tensor) => counted(tensor, count)), {
      maxShardBytes: SHARD_BYTES,
    });
    borrow(borrowFrom, folder);
    Deno.writeTextFileSync(`${folder}/config.json`, config);
  });
  return { tensors: list.tensors.length, byteLength: list.byteLength };
}

/** Runs what writes; what the system refuses meanwhile, such as a disk that others have filled, comes in a line. */
function reported(folder: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const reason = readReason(error);
    if (!(error instanceof Error) || reason === error.message) throw error;
    throw new SynthError(
      `Cannot go on writing "${folder}": ${reason}; empty the folder, mend that and start again`,
    );
  }
}

function makeEmpty(folder: string): void {
  try {
    Deno.mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new SynthError(
      `Cannot write a snapshot to "${folder}": ${readReason(error)}, wanted an empty folder`,
    );
  }
  const [first] = [...Deno.readDirSync(folder)];
  if (!first) return;
  throw new SynthError(
    `Cannot write a snapshot to "${folder}": found "${first.name}" in it, wanted an empty folder`,
  );
}

function checkRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  // Headers and configuration come on top of the tensors.
  const wanted = bytes * 1.001 + 64 * 2 ** 20;
  if (bavail * bsize >= wanted) return;
  throw new SynthError(
    `Cannot write ${size(bytes)} to "${folder}": found ${size(bavail * bsize)} free, ` +
      `wanted ${size(wanted)}; free some, or cut the model with --layers or --experts`,
  );
}

function counted(tensor: TensorToWrite, count: (bytes: number) => void): TensorToWrite {
  return {
    ...tensor,
    *data() {
      const data = tensor.data();
      for (const piece of data instanceof Uint8Array ? [data] : data) {
        yield piece;
        count(piece.length);
      }
    },
  };
}

function borrow(from: string, to: string): void {
  for (const file of BORROWED) {
    try {
      Deno.copyFileSync(`${from}/${file}`, `${to}/${file}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}
