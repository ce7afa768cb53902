/** Writes safetensors files, and snapshots of several shards with their index, tensor by tensor. @module */
import { type Dtype, DTYPE_BYTES } from "./dtype.ts";
import { elementCount } from "./safetensors.ts";

/** A tensor to be written. `data` is called when its turn comes, so that only one need be in memory. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Exactly the bytes of dtype and shape, whole or in pieces. */
  data(): Uint8Array | Iterable<Uint8Array>;
}

/** How a snapshot is cut. */
export interface WriteOptions {
  /** A shard is closed before it exceeds this; absent: one file `model.safetensors` without an index. */
  readonly maxShardBytes?: number;
}

/**
 * Writes one safetensors file; the data lies in the order given.
 * @throws {RangeError} if a tensor's data has other than the bytes its shape says.
 */
export function writeSafetensors(path: string, tensors: readonly TensorToWrite[]): void {
  const file = Deno.openSync(path, { write: true, create: true, truncate: true });
  try {
    writeAll(file, header(tensors));
    for (const tensor of tensors) {
      const data = tensor.data();
      let written = 0;
      for (const piece of data instanceof Uint8Array ? [data] : data) {
        writeAll(file, piece);
        written += piece.length;
      }
      if (written !== byteLength(tensor)) {
        throw new RangeError(
          `Cannot write "${tensor.name}": found ${written} bytes, ` +
            `expected ${byteLength(tensor)} for ${tensor.dtype} [${tensor.shape.join(", ")}]`,
        );
      }
    }
  } finally {
    file.close();
  }
}

/**
 * Writes the tensors into `folder` as `openSnapshot` reads them, and returns the names of the files made.
 * @throws {RangeError} as `writeSafetensors`, and for a name given twice.
 */
export function writeSnapshot(
  folder: string,
  tensors: readonly TensorToWrite[],
  options: WriteOptions = {},
): string[] {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) throw new RangeError(`Cannot write "${name}": the name is given twice`);
    names.add(name);
  }
  if (options.maxShardBytes === undefined) {
    writeSafetensors(`${folder}/model.safetensors`, tensors);
    return ["model.safetensors"];
  }
  const shards = cut(tensors, options.maxShardBytes);
  const weightMap: Record<string, string> = {};
  const files = shards.map((shard, i) => {
    const file = `model-${pad(i + 1)}-of-${pad(shards.length)}.safetensors`;
    writeSafetensors(`${folder}/${file}`, shard);
    for (const { name } of shard) weightMap[name] = file;
    return file;
  });
  const totalSize = tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  const indexFile = "model.safetensors.index.json";
  Deno.writeTextFileSync(`${folder}/${indexFile}`, JSON.stringify(index, null, 2) + "\n");
  return [...files, indexFile];
}

function header(tensors: readonly TensorToWrite[]): Uint8Array {
  const table: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const tensor of tensors) {
    const begin = end;
    end += byteLength(tensor);
    table[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(table));
  // Spaces behind the JSON bring the data to a multiple of 8, as other writers do.
  const bytes = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}

function cut(tensors: readonly TensorToWrite[], maxBytes: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = byteLength(tensor);
    if (size > 0 && size + bytes > maxBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)?.push(tensor);
    size += bytes;
  }
  return shards;
}

function byteLength(tensor: TensorToWrite): number {
  return elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
}

function pad(count: number): string {
  return String(count).padStart(5, "0");
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
}
