/** Moves recurrent slots and KV pages between the GPU and RAM, all layers of one at a time. @module */
import type { CacheSizes, LayerCaches } from "../model/caches.ts";
import type { Saved, StateCopies } from "./state_copies.ts";

/** One buffer that holds a piece of every slot or page, `bytes` of each, one after another. */
interface Store {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

/** Copies over the caches of a model; its saves share staging buffers that live as long as they are read. */
export class GpuCopies implements StateCopies {
  readonly stateBytes: number;
  readonly pageBytes: number;
  readonly #device: GPUDevice;
  /** Each layer's pieces of a slot. */
  readonly #states: readonly Store[];
  /** For each arena, each layer's pieces of a page. */
  readonly #pages: readonly (readonly Store[])[];
  /** A page on its way within its own buffer, which WebGPU does not copy directly. */
  readonly #passage: GPUBuffer;

  constructor(device: GPUDevice, caches: readonly LayerCaches[], sizes: CacheSizes) {
    this.#device = device;
    this.#states = caches.flatMap(({ delta }) =>
      delta
        ? [{ buffer: delta.state, bytes: sizes.stateSlot }, {
          buffer: delta.conv,
          bytes: sizes.convSlot,
        }]
        : []
    );
    const arenas = Math.max(0, ...caches.map((layer) => layer.arenas.length));
    this.#pages = Array.from({ length: arenas }, (_, arena) =>
      caches.flatMap((layer) => {
        const pages = layer.arenas[arena];
        return pages ? [pages.k, pages.v].map((buffer) => ({ buffer, bytes: sizes.kvPage })) : [];
      }));
    this.stateBytes = sum(this.#states);
    this.pageBytes = sum(this.#pages[0] ?? []);
    this.#passage = device.createBuffer({
      label: "page passage",
      size: Math.max(16, sizes.kvPage),
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  }

  async saveState(slot: number): Promise<Saved> {
    return (await this.#save(this.#states, [slot]))[0]!;
  }

  loadState(slot: number, bytes: Saved): void {
    this.#load(this.#states, slot, bytes);
  }

  savePages(arena: number, pages: readonly number[]): Promise<readonly Saved[]> {
    return this.#save(this.#pages[arena] ?? [], pages);
  }

  loadPages(arena: number, pages: readonly number[], bytes: readonly Saved[]): void {
    pages.forEach((page, i) => this.#load(this.#pages[arena] ?? [], page, bytes[i]!));
  }

  copyPage(arena: number, from: number, to: number): void {
    const encoder = this.#device.createCommandEncoder();
    for (const { buffer, bytes } of this.#pages[arena] ?? []) {
      encoder.copyBufferToBuffer(buffer, from * bytes, this.#passage, 0, bytes);
      encoder.copyBufferToBuffer(this.#passage, 0, buffer, to * bytes, bytes);
    }
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Frees what the copies hold themselves. */
  destroy(): void {
    this.#passage.destroy();
  }

  /** The copy is queued when this returns; the bytes come when the GPU has got there. */
  async #save(stores: readonly Store[], places: readonly number[]): Promise<Saved[]> {
    const each = sum(stores);
    if (each * places.length === 0) return places.map(() => new Uint8Array());
    const staging = this.#device.createBuffer({
      label: "saved state",
      size: each * places.length,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = this.#device.createCommandEncoder();
    let at = 0;
    for (const place of places) {
      for (const { buffer, bytes } of stores) {
        encoder.copyBufferToBuffer(buffer, place * bytes, staging, at, bytes);
        at += bytes;
      }
    }
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const all = staging.getMappedRange();
    const saved = places.map((_, i) => new Uint8Array(all.slice(i * each, (i + 1) * each)));
    staging.destroy();
    return saved;
  }

  #load(stores: readonly Store[], place: number, saved: Saved): void {
    let at = 0;
    for (const { buffer, bytes } of stores) {
      this.#device.queue.writeBuffer(buffer, place * bytes, saved, at, bytes);
      at += bytes;
    }
  }
}

function sum(stores: readonly Store[]): number {
  return stores.reduce((total, { bytes }) => total + bytes, 0);
}
