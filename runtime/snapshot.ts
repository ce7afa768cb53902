/** Opens and checks everything a snapshot says about its model, before anything is served. @module */
import { resolve } from "node:path";
import {
  expectTensors,
  openSnapshot,
  readReason,
  type Snapshot,
  WeightsError,
} from "../weights/mod.ts";
import {
  type GenerationDefaults,
  type ModelConfig,
  parseConfig,
  parseGenerationConfig,
} from "./model/config.ts";
import { expectedTensors } from "./model/names.ts";

/** The two configuration files of a snapshot. */
export interface SnapshotConfig {
  readonly config: ModelConfig;
  readonly generation: GenerationDefaults;
}

/** Tensors that are not used yet and may be there or not. */
const UNUSED_PREFIXES = ["mtp.", "model.visual."];

/**
 * Reads config.json and generation_config.json of a snapshot folder.
 * @throws {WeightsError} if one cannot be read
 * @throws {ConfigError} if a field of one does not fit
 */
export function readSnapshotConfig(folder: string): SnapshotConfig {
  const config = parseConfig(readJson(folder, "config.json"), `${folder}/config.json`);
  const stated = readJson(folder, "generation_config.json", {});
  return { config, generation: parseGenerationConfig(stated, `${folder}/generation_config.json`) };
}

/**
 * Opens the shards of a snapshot and compares every tensor with the configuration.
 * @throws {WeightsError} naming file and tensor, with what was found and expected
 */
export function openCheckedSnapshot(folder: string, config: ModelConfig): Snapshot {
  const snapshot = openSnapshot(folder);
  const dtypeOf = (name: string) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined;
  try {
    expectTensors(snapshot, expectedTensors(config, dtypeOf), UNUSED_PREFIXES);
  } catch (error) {
    snapshot.close();
    throw error;
  }
  return snapshot;
}

/**
 * What a snapshot folder is called under /v1/models: its own name, or that of its repository where it lies in a cache as
 * Hugging Face's tools make it, `models--OWNER--NAME/snapshots/REVISION`.
 */
export function modelName(folder: string): string {
  const parts = resolve(folder).split("/");
  const repository = parts.at(-2) === "snapshots" ? parts.at(-3)?.split("--") : undefined;
  return repository?.[0] === "models" ? repository.at(-1)! : parts.at(-1)!;
}

/** Weights of the text model: elements of all tensors but scales. */
export function parameterCount(snapshot: Snapshot): number {
  let count = 0;
  for (const name of snapshot.names()) {
    if (name.endsWith("_scale_inv") || UNUSED_PREFIXES.some((prefix) => name.startsWith(prefix))) {
      continue;
    }
    count += snapshot.tensor(name).shape.reduce((product, size) => product * size, 1);
  }
  return count;
}

function isThere(folder: string): boolean {
  try {
    return Deno.statSync(folder).isDirectory;
  } catch {
    return false;
  }
}

function readJson(folder: string, file: string, fallback?: unknown): unknown {
  let text: string;
  try {
    text = Deno.readTextFileSync(`${folder}/${file}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound && fallback !== undefined) return fallback;
    const reason = error instanceof Deno.errors.NotFound
      ? `no such ${isThere(folder) ? "file" : "folder"}, name the folder of a whole snapshot`
      : readReason(error);
    throw new WeightsError(`Cannot read "${folder}/${file}": ${reason}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WeightsError(
      `Cannot read "${folder}/${file}": it is not JSON, ${(error as Error).message}`,
    );
  }
}
