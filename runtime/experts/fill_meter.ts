/** Reads what the GPU counted while it paged by itself, when somebody asks. @module */
import { FILL_COUNTERS } from "../../shaders/moe_fill/moe_fill.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";
import type { FillCounters, HostStore } from "./host_store.ts";

const BYTES = 4 * FILL_COUNTERS.length;

/** The counters of a store. */
export class FillMeter {
  readonly #device: GPUDevice;
  readonly #store: HostStore;
  readonly #readback: Readback;
  #reading = false;
  #closed = false;

  private constructor(device: GPUDevice, store: HostStore, readback: Readback) {
    this.#device = device;
    this.#store = store;
    this.#readback = readback;
    device.lost.then(() => this.#closed = true);
  }

  /** A meter with a read-back of its own. */
  static async open(device: GPUDevice, store: HostStore): Promise<FillMeter> {
    return new FillMeter(device, store, await Readback.open(device, BYTES, syncReadbackWorks()));
  }

  /** Totals since start; where reading takes a while, those of the last time that somebody asked. */
  read(): FillCounters {
    if (this.#closed || this.#reading) return this.#store.counters;
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#store.source, 0, this.#readback.target, 0, BYTES);
    this.#device.queue.submit([encoder.finish()]);
    const words = this.#readback.read(BYTES);
    if (words instanceof Promise) {
      this.#reading = true;
      words.then((words) => this.#store.count(new Uint32Array(words)))
        .finally(() => this.#reading = false);
    } else {
      this.#store.count(new Uint32Array(words));
    }
    return this.#store.counters;
  }

  /** Frees the read-back. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#readback.close();
  }
}
