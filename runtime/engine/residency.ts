/** Where the routed experts live: chosen at start from what fits, what the device offers and what it measures. @module */
import { hostBytes } from "../experts/host_store.ts";
import { type LinkRates, measureLink } from "../experts/link_rates.ts";
import type { Residency } from "../options.ts";
import { type MemoryPlan, PlanError, size } from "../plan.ts";
import type { ExpertSource } from "./expert_build.ts";
import type { Site } from "./site.ts";

/**
 * `resident`: every expert has a slot. `host`: all are in host memory, from which the GPU fills its slots. `paged`: the
 * host reads those that are missing from the snapshot when a step has stopped for them.
 */
export type ResidencyMode = Exclude<Residency, "auto">;

/** What was chosen. */
export interface ResidencyChoice {
  readonly mode: ResidencyMode;
  /** For people. */
  readonly reason: string;
  /** Bytes of RAM that hold all experts; 0 unless in host memory. */
  readonly hostBytes: number;
}

/** What the choice is made from; bytes and bytes a second. */
export interface ResidencyFacts {
  readonly wanted: Residency;
  readonly allResident: boolean;
  readonly software: boolean;
  /** Whether the device reads storage in host memory. */
  readonly hostStorage: boolean;
  /** What all routed experts take. */
  readonly bytes: number;
  /** Asks how much RAM could be taken without swapping; null if that cannot be told. */
  readonly free: () => number | null;
}

/** RAM that is left to everything else. */
const SPARED_BYTES = 2 * 2 ** 30;

/**
 * The mode, or null where it takes a measurement to tell `host` from `paged`.
 * @throws {PlanError} if `host` is wanted and the device cannot, or the RAM is known not to hold it
 */
export function decideResidency(facts: ResidencyFacts): ResidencyChoice | null {
  const { wanted, allResident, software, bytes } = facts;
  const without = (mode: "resident" | "paged", reason: string) => ({ mode, reason, hostBytes: 0 });
  if (wanted === "resident" || wanted === "paged") return without(wanted, "as asked for");
  if (wanted === "host") {
    // Whoever asks may know of RAM that cannot be read here.
    const obstacle = obstacleOf({ ...facts, free: () => facts.free() ?? Infinity });
    if (obstacle === null) return { mode: "host", reason: "as asked for", hostBytes: bytes };
    throw new PlanError(`Cannot keep the experts in host memory: ${obstacle}`);
  }
  if (allResident) return without("resident", "every expert has a slot");
  if (software) return without("paged", "the adapter is software");
  const obstacle = obstacleOf(facts);
  return obstacle === null ? null : without("paged", obstacle);
}

/** Whether the GPU's own copies or uploads by the host are faster, for experts of so many bytes in all. */
export function fasterResidency({ fill, upload }: LinkRates, bytes: number): ResidencyChoice {
  const reason = `the GPU copies experts at ${rate(fill)}, the host uploads at ${rate(upload)}`;
  const isHost = fill >= upload;
  return { mode: isHost ? "host" : "paged", reason, hostBytes: isHost ? bytes : 0 };
}

/** The choice as a line for people. */
export function residencyLine({ mode, reason, hostBytes }: ResidencyChoice): string {
  const ram = hostBytes > 0 ? `; ${size(hostBytes)} of RAM hold all experts` : "";
  return `residency: ${mode}, ${reason}${ram}`;
}

/** Chooses for a model with routed experts. @throws {PlanError} as `decideResidency` */
export async function chooseResidency(
  { gpu, config: { layers }, options: { residency: wanted } }: Site,
  { reader: { layout }, mlp: { experts } }: ExpertSource,
  { allResident }: MemoryPlan,
): Promise<ResidencyChoice> {
  const { software, hostStorage } = gpu;
  const bytes = hostBytes(layout, { layers, experts });
  const facts = { wanted, allResident, software, hostStorage, bytes, free: freeMemory };
  return decideResidency(facts) ?? fasterResidency(await measureLink(gpu, layout.stride), bytes);
}

/** Why the experts cannot be kept in host memory; null if they can. */
function obstacleOf({ hostStorage, bytes, free: readFree }: ResidencyFacts): string | null {
  if (!hostStorage) return "the device cannot bind host memory";
  const free = readFree();
  if (free === null) return `how much RAM is free is unknown, the experts take ${size(bytes)}`;
  if (bytes + SPARED_BYTES <= free) return null;
  return `the experts take ${size(bytes)} and ${size(SPARED_BYTES)} are to be left, ${
    size(free)
  } are free`;
}

/** RAM that could be had without swapping; null where Deno may not tell. */
function freeMemory(): number | null {
  try {
    return Deno.systemMemoryInfo().available;
  } catch {
    return null;
  }
}

function rate(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1e9).toPrecision(3)} GB/s`;
}
