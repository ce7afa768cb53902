/** What a forecast must know of a machine, and graphics cards by their makers' data sheets. @module */

import type { KernelRates } from "./kernel_rates.ts";

/** A card in a machine; sizes in bytes, rates in bytes a second. */
export interface Device {
  readonly name: string;
  /** Memory of the card. */
  readonly vram: number;
  /** Share of it that is planned with. */
  readonly usable: number;
  /** Rate of its memory. */
  readonly bandwidth: number;
  /** What really comes through the link from the host's memory. */
  readonly link: number;
  /** What the host reads from its page cache, checks and hands over of experts. */
  readonly host: number;
  /** Memory of the host; null: enough for all experts. */
  readonly ram: number | null;
  /** What reading the snapshot brings where it is not in memory. */
  readonly disk: number;
  /** f32 operations a second, a multiply-add counted as two. */
  readonly flops: number;
  /** Seconds that a dispatch costs beside its bytes: starting, filling the card, draining it for the next one. */
  readonly dispatch: number;
  /** Seconds from one step to the next that the host takes part in; where steps run ahead, of a batch of them. */
  readonly token: number;
  /** What the engine's kernels reach; null where that was not measured, but is assumed from the rates above. */
  readonly kernels: KernelRates | null;
  /** Whether shaders run on the CPU: the engine builds other programs then. */
  readonly software: boolean;
}

const GIB = 2 ** 30;

/** Of 8 or 16 lanes of PCIe 3, 4 and 5: what copies reach of 0.99, 1.97 and 3.94 GB/s a lane. */
const LANE = { 3: 0.75e9, 4: 1.5625e9, 5: 3.125e9 } as const;

/** What is assumed of a machine until it is said or measured. */
export const ASSUMED = {
  /** Share of a card that is planned with, as the engine does. */
  usable: 0.94,
  link: 16 * LANE[4],
  host: 4e9,
  disk: 3e9,
  flops: 15e12,
  /** What the single-stream figures published of native engines leave, per kernel, after reading. */
  dispatch: 1e-5,
  /** A blocking read-back as measured, and as much again of the host's own work. */
  token: 4e-4,
  kernels: null,
  software: false,
} as const;

/** Known cards; any other is described by its numbers. */
export const DEVICES: Readonly<Record<string, Device>> = Object.fromEntries(
  ([
    ["t4", 16, 320, 8.1, 3, 16],
    ["rtx-3060-12gb", 12, 360, 12.7, 4, 16],
    ["rtx-3080-10gb", 10, 760, 29.8, 4, 16],
    ["rtx-3090", 24, 936, 35.6, 4, 16],
    ["rtx-4060-8gb", 8, 272, 15.1, 4, 8],
    ["rtx-4060-ti-16gb", 16, 288, 22.1, 4, 8],
    ["rtx-4070-12gb", 12, 504, 29.1, 4, 16],
    ["rtx-4080-16gb", 16, 717, 48.7, 4, 16],
    ["rtx-4090", 24, 1008, 82.6, 4, 16],
    ["rtx-5060-ti-16gb", 16, 448, 23.7, 5, 8],
    ["rtx-5070-12gb", 12, 672, 30.9, 5, 16],
    ["rtx-5080-16gb", 16, 960, 56.3, 5, 16],
    ["rtx-5090", 32, 1792, 104.8, 5, 16],
    ["rx-7800-xt-16gb", 16, 624, 37.3, 4, 16],
    ["rx-7900-xtx", 24, 960, 61.4, 4, 16],
    ["arc-b580-12gb", 12, 456, 13.7, 4, 8],
    ["l4", 24, 300, 30.3, 4, 16],
    ["a10", 24, 600, 31.2, 4, 16],
    ["l40s", 48, 864, 91.6, 4, 16],
    ["a100-40gb", 40, 1555, 19.5, 4, 16],
    ["a100-80gb", 80, 2039, 19.5, 4, 16],
    ["h100-80gb", 80, 3350, 66.9, 5, 16],
    ["h200", 139, 4800, 66.9, 5, 16],
  ] as const).map(([name, gib, gigabytes, teraflops, generation, lanes]) => [name, {
    ...ASSUMED,
    name,
    vram: gib * GIB,
    bandwidth: gigabytes * 1e9,
    link: LANE[generation] * lanes,
    ram: null,
    flops: teraflops * 1e12,
  }]),
);
