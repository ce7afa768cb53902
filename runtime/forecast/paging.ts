/** Where a token's experts come from: the GPU's slots, the host's page cache, the disk. @module */
import type { PlanInput } from "../plan.ts";
import { type Derived, percent } from "./derived.ts";
import type { Device } from "./devices.ts";
import { hitRate, leastHitRate } from "./hit_rate.ts";

/** Bytes of the host's memory that are not page cache: the system, this process, its state cache. */
export const HOST_RESERVE = 4 * 2 ** 30;

/** Whether a copy of every expert fits the host's memory, of which the size is known. */
export function hostHoldsAll(
  experts: NonNullable<PlanInput["experts"]>,
  device: Pick<Device, "ram">,
): boolean {
  return device.ram !== null && cachedShare(experts, device) === 1;
}

/** Share of the routed experts that the host's page cache holds; all where its memory is not known. */
export function cachedShare(
  { layers, count, stride }: NonNullable<PlanInput["experts"]>,
  { ram }: Pick<Device, "ram">,
): number {
  if (ram === null) return 1;
  return Math.min(1, Math.max(0, ram - HOST_RESERVE) / (layers * count * stride));
}

/** Shares of the experts that a token asks for. */
export interface Sources {
  /** Found in a slot. */
  readonly hits: Derived;
  /** Read from the page cache. */
  readonly fromMemory: number;
  /** Read from the disk. */
  readonly fromDisk: Derived;
}

/** What decides where experts are found. */
export interface Residency {
  readonly experts: NonNullable<PlanInput["experts"]>;
  readonly slots: number;
  readonly device: Pick<Device, "ram">;
  /** Sequences that decode together. */
  readonly sequences: number;
  /** Sequences that have nothing in common: each finds what its part of the slots would hold. */
  readonly apart?: boolean;
  /** Texts that have nothing in common. */
  readonly unconnected?: boolean;
  readonly paging: Paging;
}

/** The shares for a model that has been asked for a while. */
export function sourcesOf(residency: Residency): Sources {
  const { experts, slots, device, unconnected, paging } = residency;
  const sequences = residency.apart ? residency.sequences : 1;
  const { count } = experts;
  const curve = unconnected ? leastHitRate : hitRate;
  const all = slots >= count;
  const share = slots / count / sequences;
  const hits = all ? 1 : curve(share);
  const parts = sequences > 1 ? ` / ${sequences} sequences` : "";
  const disk = all
    ? { value: 0, formula: "all resident" }
    : paging === "host"
    ? { value: 0, formula: "the host's memory has a copy of every expert" }
    : fromDisk(experts, { device, hits });
  return {
    hits: {
      value: hits,
      formula: all
        ? "every expert has a slot"
        : `published LRU curve at ${slots} of ${count} slots${parts} = ${percent(share)}`,
    },
    fromMemory: 1 - hits - disk.value,
    fromDisk: disk,
  };
}

/**
 * The page cache holds what was read last, the experts that have a slot among it; so it finds what the same curve
 * says for its own size, and is of no use while it is smaller than the slots.
 */
function fromDisk(
  experts: Residency["experts"],
  { device, hits }: { readonly device: Pick<Device, "ram">; readonly hits: number },
): Derived {
  if (device.ram === null) {
    return { value: 0, formula: "the host's memory, not given, is taken to hold every expert" };
  }
  const share = cachedShare(experts, device);
  if (share >= 1) return { value: 0, formula: "the host's page cache holds every expert" };
  return {
    value: Math.max(0, Math.min(1 - hits, 1 - hitRate(share))),
    formula: `the page cache, host memory - 4 GiB, holds ${percent(share)} of the experts: ` +
      `misses of both caches`,
  };
}

/**
 * Who brings missing experts: the device itself, out of a copy of them all in the host's memory, or the host, out
 * of the snapshot.
 */
export type Paging = "host" | "paged";

/** Bytes a second at which experts come from the host's memory, and from the disk. */
export function pagingRates({ link, host, disk }: Device, paging: Paging): {
  readonly memory: number;
  readonly disk: number;
} {
  const memory = paging === "host" ? link : Math.min(link, host);
  return { memory, disk: Math.min(memory, disk) };
}

/** Distinct experts that `rows` rows ask for in a layer, were each row's choice independent of the others'. */
export function distinctExperts(
  { count, topK }: Residency["experts"],
  rows: number,
): number {
  return count * (1 - (1 - topK / count) ** rows);
}
