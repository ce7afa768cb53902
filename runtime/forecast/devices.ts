/** Graphics cards by their makers' data sheets. @module */

/** What a forecast must know of a device. */
export interface Device {
  /** Memory of the card, bytes. */
  readonly vram: number;
  /** Its bandwidth, bytes a second. */
  readonly bandwidth: number;
  /** What really comes through the link from the host's memory, bytes a second. */
  readonly link: number;
}

const GIB = 2 ** 30;

/** 16 lanes of PCIe 3, 4 and 5: what copies reach of 15.8, 31.5 and 63 GB/s. */
const PCIE = { 3: 12e9, 4: 25e9, 5: 50e9 } as const;

/** Known devices; any other is described by its numbers. */
export const DEVICES: Readonly<Record<string, Device>> = {
  "t4": card(16, 320, 3),
  "rtx-3060-12gb": card(12, 360, 4),
  "rtx-3090": card(24, 936, 4),
  "rtx-4060-ti-16gb": { ...card(16, 288, 4), link: PCIE[4] / 2 },
  "rtx-4090": card(24, 1008, 4),
  "rtx-5090": card(32, 1792, 5),
  "rx-7900-xtx": card(24, 960, 4),
  "l4": card(24, 300, 4),
  "l40s": card(48, 864, 4),
  "a100-80gb": card(80, 2039, 4),
  "h100-80gb": card(80, 3350, 5),
  "h200": card(141, 4800, 5),
};

function card(gib: number, gigabytesPerSecond: number, pcie: keyof typeof PCIE): Device {
  return { vram: gib * GIB, bandwidth: gigabytesPerSecond * 1e9, link: PCIE[pcie] };
}
