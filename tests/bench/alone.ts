/** The matrices of a decode step of 35B-A3B, each by itself and again and again beside what they are compared with. @module */
import type { Gpu } from "../../runtime/gpu/device.ts";
import { Bench } from "./bench.ts";
import { Ceilings } from "./ceilings.ts";
import { expertsCase } from "./expert_cases.ts";
import { type KernelCase, type PlacedCase, verifyCase } from "./kernel_case.ts";
import { EXPERTS, MATRICES } from "./kernels.ts";
import { matmulCase } from "./matrix_cases.ts";

/** Those of which a token's time is made. */
type AloneName = Exclude<keyof typeof MATRICES, "wide"> | "experts";

/** Seconds of one row: of the experts of a layer, the shared one among them, and of each matrix. */
export type AloneSeconds = Readonly<Record<AloneName, number>>;

/** What one round measured. */
export interface AloneRound {
  readonly seconds: AloneSeconds;
  /** Bytes a second of the kernels that only read and only copy. */
  readonly read: number;
  readonly copy: number;
}

type Placed = readonly (readonly [AloneName, PlacedCase])[];

/** The kernels, verified and ready on a device of their own. */
export class AloneKernels {
  readonly #bench: Bench;
  readonly #ceilings: Ceilings;
  readonly #placed: Placed;

  private constructor(bench: Bench, ceilings: Ceilings, placed: Placed) {
    this.#bench = bench;
    this.#ceilings = ceilings;
    this.#placed = placed;
  }

  /** @throws {Error} if a kernel's output is not what the CPU computes */
  static async open(): Promise<AloneKernels> {
    const bench = await Bench.open(1);
    const cases: [AloneName, KernelCase][] = [["experts", expertsCase(EXPERTS, 1)]];
    for (const [name, matrix] of Object.entries(MATRICES)) {
      if (name !== "wide") cases.push([name as AloneName, matmulCase(matrix, 1)]);
    }
    const placed: [AloneName, PlacedCase][] = [];
    for (const [name, kernel] of cases) {
      const place = kernel.place(bench);
      await verifyCase(bench, kernel.name, place);
      placed.push([name, place]);
    }
    return new AloneKernels(bench, await Ceilings.open(bench), placed);
  }

  /** The device that they run on. */
  get gpu(): Gpu {
    return this.#bench.gpu;
  }

  /** Times each of them once. */
  async round(): Promise<AloneRound> {
    const seconds: Partial<Record<AloneName, number>> = {};
    for (const [name, { program, shape, copies = 1 }] of this.#placed) {
      seconds[name] = await this.#bench.seconds(program, shape) / copies;
    }
    const [read, copy] = [await this.#ceilings.read(), await this.#ceilings.copy()];
    return { seconds: seconds as AloneSeconds, read, copy };
  }

  /** Frees everything. */
  close(): Promise<void> {
    return this.#bench.close();
  }
}
