/** What the parts of the engine's builder share. @module */
import type { Snapshot } from "../../weights/mod.ts";
import type { Gpu } from "../gpu/device.ts";
import { GpuMemory } from "../gpu/memory.ts";
import type { ModelConfig } from "../model/config.ts";
import { textPrefix } from "../model/names.ts";
import type { EngineOptions } from "../options.ts";

/** Told about each phase of loading, in bytes or layers. */
export type OnProgress = (phase: string, done: number, total: number) => void;

/** The device, the model and what is wanted of both. */
export interface Site {
  readonly gpu: Gpu;
  readonly memory: GpuMemory;
  readonly snapshot: Snapshot;
  readonly config: ModelConfig;
  /** In front of the names of the text model's tensors. */
  readonly prefix: string;
  readonly options: EngineOptions;
}

/** A site on which nothing is built yet. */
export function openSite(
  gpu: Gpu,
  snapshot: Snapshot,
  config: ModelConfig,
  options: EngineOptions,
): Site {
  const prefix = textPrefix((name) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined);
  return { gpu, memory: new GpuMemory(gpu), snapshot, config, prefix, options };
}
