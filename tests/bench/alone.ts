/** The matrices of a decode step of 35B-A3B, each by itself and again and again beside what they are compared with. @module */
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { Gpu } from "../../runtime/gpu/device.ts";
import { Bench, type Share } from "./bench.ts";
import { Ceilings } from "./ceilings.ts";
import { expertsCase } from "./expert_cases.ts";
import { type KernelCase, type PlacedCase, verifyCase } from "./kernel_case.ts";
import { ALL_EXPERTS, EXPERTS, MATRICES } from "./kernels.ts";
import { matmulCase } from "./matrix_cases.ts";

/** Those of which a token's time is made. */
type AloneName = Exclude<keyof typeof MATRICES, "wide"> | "experts";

/** What one row takes: of the experts of a layer, the shared one among them, and of each matrix. */
export type AloneSeconds = Readonly<Record<AloneName, number>>;

/** What one round measured. */
export interface AloneRound {
  readonly seconds: AloneSeconds;
  /** Seconds of the processors; null where they cannot be told. */
  readonly cpuSeconds: AloneSeconds | null;
  /** As the experts of `seconds`, in as many buffers as the engine has them on this device. */
  readonly poolSeconds: number;
  /** Bytes a second of the kernels that only read and only copy. */
  readonly read: number;
  readonly copy: number;
}

/** A kernel that was placed, and how often it runs in a sample. */
interface Placed extends PlacedCase {
  readonly repeats: number;
}

/** A sample takes about so long, so that starting and waiting do not count. */
const SAMPLE_SECONDS = 0.08;

/** The kernels, verified and ready on a device of their own. */
export class AloneKernels {
  readonly #bench: Bench;
  readonly #ceilings: Ceilings;
  readonly #placed: ReadonlyMap<AloneName | "pool", Placed>;

  private constructor(
    bench: Bench,
    ceilings: Ceilings,
    placed: ReadonlyMap<AloneName | "pool", Placed>,
  ) {
    this.#bench = bench;
    this.#ceilings = ceilings;
    this.#placed = placed;
  }

  /**
   * With the matrices of 35B-A3B, or without any kernel to compare with.
   * @throws {Error} if a kernel's output is not what the CPU computes
   */
  static async open(matrices: boolean): Promise<AloneKernels> {
    const bench = await Bench.open(1);
    const placed = new Map<AloneName | "pool", Placed>();
    for (const [name, kernel] of matrices ? cases() : []) {
      const place = kernel.place(bench);
      await verifyCase(bench, kernel.name, place);
      const { seconds } = await bench.share(place.program, place.shape, 1);
      placed.set(name, { ...place, repeats: Math.max(1, Math.round(SAMPLE_SECONDS / seconds)) });
    }
    return new AloneKernels(bench, await Ceilings.open(bench), placed);
  }

  /** The device that they run on. */
  get gpu(): Gpu {
    return this.#bench.gpu;
  }

  /** Of the matrix kernels. */
  get variant(): ProductVariant {
    return this.#bench.variant;
  }

  /** Times each of them once; nothing but reading and copying where they are not of interest. */
  async round(matrices: boolean): Promise<AloneRound> {
    const seconds: Partial<Record<AloneName | "pool", number>> = {};
    const cpu: Partial<Record<AloneName | "pool", number>> = {};
    let knowsCpu = true;
    for (const [name, { program, shape, repeats, copies = 1 }] of matrices ? this.#placed : []) {
      const share: Share = await this.#bench.share(program, shape, repeats);
      seconds[name] = share.seconds / copies;
      knowsCpu &&= share.cpuSeconds !== null;
      cpu[name] = (share.cpuSeconds ?? 0) / copies;
    }
    const [read, copy] = [await this.#ceilings.read(), await this.#ceilings.copy()];
    return {
      seconds: seconds as AloneSeconds,
      cpuSeconds: knowsCpu ? cpu as AloneSeconds : null,
      poolSeconds: seconds.pool!,
      ...{ read, copy },
    };
  }

  /** Frees everything. */
  close(): Promise<void> {
    return this.#bench.close();
  }
}

function cases(): [AloneName | "pool", KernelCase][] {
  return [
    ["experts", expertsCase(EXPERTS, 1)],
    ["pool", expertsCase({ ...EXPERTS, experts: ALL_EXPERTS }, 1)],
    ...Object.entries(MATRICES).filter(([name]) => name !== "wide")
      .map(([name, matrix]): [AloneName, KernelCase] => [name as AloneName, matmulCase(matrix, 1)]),
  ];
}
