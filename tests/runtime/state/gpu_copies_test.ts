import { assertEquals } from "@std/assert";
import type { LayerCaches } from "../../../runtime/model/caches.ts";
import { GpuCopies } from "../../../runtime/state/gpu_copies.ts";
import { gpu } from "../../gpu.ts";
import { pattern } from "../../pattern.ts";

const SIZES = { stateSlot: 48, convSlot: 16, kvPage: 32 };
const SLOTS = 3;
const PAGES = 4;

interface Bench {
  readonly device: GPUDevice;
  readonly copies: GpuCopies;
  /** Contents before, by buffer. */
  readonly filled: ReadonlyMap<GPUBuffer, Uint8Array>;
  readonly caches: readonly LayerCaches[];
  free(): void;
}

/** Two DeltaNet layers around an attention layer with two arenas, every buffer filled with other bytes. */
async function open(): Promise<Bench> {
  const { device } = await gpu();
  const filled = new Map<GPUBuffer, Uint8Array>();
  const buffer = (size: number): GPUBuffer => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const made = device.createBuffer({ size, usage });
    const bytes = new Uint8Array(pattern(size / 4, filled.size + 1).buffer);
    device.queue.writeBuffer(made, 0, bytes);
    filled.set(made, bytes);
    return made;
  };
  const linear = (): LayerCaches => ({
    delta: { state: buffer(SLOTS * SIZES.stateSlot), conv: buffer(SLOTS * SIZES.convSlot) },
    arenas: [],
  });
  const arena = () => ({ k: buffer(PAGES * SIZES.kvPage), v: buffer(PAGES * SIZES.kvPage) });
  const caches = [linear(), { delta: null, arenas: [arena(), arena()] }, linear()];
  const copies = new GpuCopies(device, caches, SIZES);
  const free = () => {
    copies.destroy();
    for (const made of filled.keys()) made.destroy();
  };
  return { device, copies, filled, caches, free };
}

async function read(device: GPUDevice, buffer: GPUBuffer): Promise<Uint8Array> {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const copy = device.createBuffer({ size: buffer.size, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return bytes;
}

/** Fails unless every buffer is as it was, but for place `to`, which holds what `from` held where `touched` says. */
async function checkMoved(
  { device, filled }: Bench,
  { from, to, touched }: {
    readonly from: number;
    readonly to: number;
    readonly touched: ReadonlyMap<GPUBuffer, number>;
  },
): Promise<void> {
  for (const [buffer, before] of filled) {
    const want = before.slice();
    const bytes = touched.get(buffer);
    if (bytes) want.copyWithin(to * bytes, from * bytes, (from + 1) * bytes);
    assertEquals(await read(device, buffer), want);
  }
}

function stateBuffers({ caches }: Bench): Map<GPUBuffer, number> {
  return new Map(
    caches.flatMap(({ delta }): [GPUBuffer, number][] =>
      delta ? [[delta.state, SIZES.stateSlot], [delta.conv, SIZES.convSlot]] : []
    ),
  );
}

function pageBuffers({ caches }: Bench, arena: number): Map<GPUBuffer, number> {
  const { k, v } = caches[1]!.arenas[arena]!;
  return new Map([[k, SIZES.kvPage], [v, SIZES.kvPage]]);
}

Deno.test("GpuCopies counts the bytes of a slot and of a page over all layers", async () => {
  const bench = await open();
  assertEquals([bench.copies.stateBytes, bench.copies.pageBytes], [128, 64]);
  bench.free();
});

Deno.test("GpuCopies moves a slot to RAM and into another slot, and nothing else", async () => {
  const bench = await open();
  bench.copies.loadState(2, await bench.copies.saveState(1));
  await checkMoved(bench, { from: 1, to: 2, touched: stateBuffers(bench) });
  bench.free();
});

Deno.test("GpuCopies.saveState() gives the bytes of its call, though the slot is written right after", async () => {
  const bench = await open();
  const saved = bench.copies.saveState(1);
  bench.copies.loadState(1, new Uint8Array(128));
  bench.copies.loadState(1, await saved);
  await checkMoved(bench, { from: 0, to: 0, touched: new Map() });
  bench.free();
});

Deno.test("GpuCopies moves pages of one arena to RAM and back", async () => {
  const bench = await open();
  const [a, b] = await bench.copies.savePages(1, [3, 0]);
  assertEquals([a!.length, b!.length], [64, 64]);
  bench.copies.loadPages(1, [3, 1], [a!, b!]);
  await checkMoved(bench, { from: 0, to: 1, touched: pageBuffers(bench, 1) });
  bench.free();
});

Deno.test("GpuCopies.copyPage() copies a page within its arena", async () => {
  const bench = await open();
  bench.copies.copyPage(0, 2, 3);
  await checkMoved(bench, { from: 2, to: 3, touched: pageBuffers(bench, 0) });
  bench.free();
});
