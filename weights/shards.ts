/**
 * A snapshot folder: `model.safetensors.index.json` with the shards it names, or one `model.safetensors`.
 * Everything is checked against everything when it is opened; data is read later, by name.
 * @module
 */
import type { ByteSource } from "./byte_source.ts";
import { readReason, WeightsError } from "./errors.ts";
import { readTensorTable, type TensorEntry } from "./safetensors.ts";
import { Snapshot, totalBytes } from "./snapshot.ts";
import { openSource, type SourceChoice } from "./source.ts";
import { Tensor } from "./tensor.ts";

const INDEX = "model.safetensors.index.json";
const SINGLE = "model.safetensors";

/** How a snapshot is opened. */
export interface OpenOptions {
  readonly source?: SourceChoice;
  /** Called after each shard's header has been checked. */
  readonly onShard?: (done: number, total: number) => void;
}

/**
 * Opens and checks a snapshot folder.
 * @throws {WeightsError} for the first fault: a shard missing or too many, a header that is not sound,
 * a tensor that only the index or only a shard knows.
 */
export function openSnapshot(folder: string, options: OpenOptions = {}): Snapshot {
  const present = listShards(folder);
  const index = readIndex(folder);
  const files = index === undefined ? [SINGLE] : [...new Set(index.weightMap.values())].sort();
  checkFiles(folder, present, index === undefined ? undefined : files);
  const sources: ByteSource[] = [];
  const tensors = new Map<string, Tensor>();
  try {
    for (const file of files) {
      const source = openSource(`${folder}/${file}`, options.source);
      sources.push(source);
      addTensors(tensors, readTensorTable(source).values(), source);
      options.onShard?.(sources.length, files.length);
    }
    const warnings = index === undefined ? [] : checkIndex(folder, index, tensors);
    return new Snapshot(folder, sources, { tensors, warnings });
  } catch (error) {
    for (const source of sources) source.close();
    throw error;
  }
}

interface Index {
  readonly weightMap: ReadonlyMap<string, string>;
  readonly totalSize: number | undefined;
}

function listShards(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), (entry) => entry.name)
      .filter((name) => name.endsWith(".safetensors")).sort();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "no such folder" : readReason(error);
    throw new WeightsError(`Cannot open the model folder "${folder}": ${reason}`, { cause: error });
  }
}

function readIndex(folder: string): Index | undefined {
  const path = `${folder}/${INDEX}`;
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new WeightsError(`Cannot open "${path}": ${readReason(error)}`, { cause: error });
  }
  let value: { weight_map?: unknown; metadata?: { total_size?: unknown } } | null;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new WeightsError(`Cannot load "${path}": it is not JSON, ${reason}`);
  }
  const map = value?.weight_map;
  if (typeof map !== "object" || map === null || Object.keys(map).length === 0) {
    throw new WeightsError(
      `Cannot load "${path}": expected an object "weight_map" of tensor to file`,
    );
  }
  const weightMap = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== "string" || !/^[^/\\]+\.safetensors$/.test(file)) {
      throw new WeightsError(
        `Cannot load "${path}": "${name}" is in ${JSON.stringify(file)}, ` +
          `expected the name of a .safetensors file beside the index`,
      );
    }
    weightMap.set(name, file);
  }
  const total = value?.metadata?.total_size;
  return { weightMap, totalSize: typeof total === "number" ? total : undefined };
}

function checkFiles(folder: string, present: string[], indexed: string[] | undefined): void {
  const wanted = indexed ?? [SINGLE];
  const missing = wanted.filter((file) => !present.includes(file));
  if (missing.length > 0) {
    const reason = indexed === undefined
      ? `found neither ${INDEX} nor ${SINGLE}`
      : `found ${wanted.length - missing.length} of ${wanted.length} shards`;
    throw new WeightsError(
      `Cannot load "${folder}": ${reason}, ${
        listing(missing)
      } missing, download the snapshot again`,
    );
  }
  const extra = present.filter((file) => !wanted.includes(file));
  if (extra.length > 0) {
    const owner = indexed === undefined ? `there is no ${INDEX}` : "the index does not name it";
    throw new WeightsError(
      `Cannot load "${folder}": found ${listing(extra)}, expected ${wanted.length} ` +
        `.safetensors ${wanted.length === 1 ? "file" : "files"}, ${owner}, ` +
        `remove what does not belong or download the snapshot again`,
    );
  }
}

function addTensors(
  tensors: Map<string, Tensor>,
  entries: Iterable<TensorEntry>,
  source: ByteSource,
): void {
  for (const entry of entries) {
    const other = tensors.get(entry.name);
    if (other !== undefined) {
      throw new WeightsError(
        `Cannot load tensor "${entry.name}": found in "${other.file}" and in "${entry.file}"`,
      );
    }
    tensors.set(entry.name, new Tensor(entry, source));
  }
}

/** Returns the warnings. */
function checkIndex(folder: string, index: Index, tensors: ReadonlyMap<string, Tensor>): string[] {
  for (const [name, file] of index.weightMap) {
    const found = tensors.get(name)?.file;
    if (found === `${folder}/${file}`) continue;
    const place = found === undefined ? "no shard has it" : `found it in "${found}"`;
    throw new WeightsError(
      `Cannot load tensor "${name}": ${place}, the index of "${folder}" expects it in "${file}"`,
    );
  }
  for (const { name, file } of tensors.values()) {
    if (index.weightMap.has(name)) continue;
    throw new WeightsError(
      `Cannot load tensor "${name}": found it in "${file}", the index of "${folder}" does not name it`,
    );
  }
  const found = totalBytes(tensors.values());
  if (index.totalSize === undefined || index.totalSize === found) return [];
  // Converters often leave a stale sum behind; every byte has been accounted for already.
  return [
    `"${folder}/${INDEX}" says total_size ${index.totalSize}, its shards hold ${found} bytes of tensors`,
  ];
}

function listing(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => `"${name}"`).join(", ");
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
