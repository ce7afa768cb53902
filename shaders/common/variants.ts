/** The ways in which products of few rows can be computed: a device takes one of them for all its kernels. @module */
import type { Fp8Decoder } from "./fp8.ts";
import { canBroadcast, type TileDevice } from "./tile.ts";

/** One way. `lanes`, `reduce` and `broadcast` decide the order of sums, hence bits; the others do not. */
export interface ProductVariant {
  readonly name: string;
  readonly decoder: Fp8Decoder;
  /** Threads that share a row of W. */
  readonly lanes: 4 | 8 | 16 | 32;
  /** Rows of W that a thread multiplies at a time with several rows of x; with one row of x, eight. */
  readonly outputs: 8 | 16;
  /** How the sums of the lanes are added up: through workgroup memory, or between the threads of a subgroup. */
  readonly reduce: "memory" | "subgroups";
  /**
   * Whether dense matrices go without lanes: a thread has whole rows of W, and threads tell each other x. Only for CPUs that
   * run shaders, where a load costs as much as fifty multiplications.
   */
  readonly broadcast?: boolean;
}

/** Every way; names are what `--kernels` takes. */
export const PRODUCT_VARIANTS: readonly ProductVariant[] = [
  { name: "pairs-32x8", decoder: "pairs", lanes: 32, outputs: 8, reduce: "memory" },
  { name: "pairs-32x8-subgroups", decoder: "pairs", lanes: 32, outputs: 8, reduce: "subgroups" },
  { name: "shift-32x8", decoder: "shift", lanes: 32, outputs: 8, reduce: "memory" },
  { name: "shift-32x8-subgroups", decoder: "shift", lanes: 32, outputs: 8, reduce: "subgroups" },
  { name: "safe-32x8", decoder: "safe", lanes: 32, outputs: 8, reduce: "memory" },
  { name: "pairs-16x8-subgroups", decoder: "pairs", lanes: 16, outputs: 8, reduce: "subgroups" },
  { name: "shift-16x8-subgroups", decoder: "shift", lanes: 16, outputs: 8, reduce: "subgroups" },
  { name: "pairs-16x8", decoder: "pairs", lanes: 16, outputs: 8, reduce: "memory" },
  { name: "pairs-8x8", decoder: "pairs", lanes: 8, outputs: 8, reduce: "memory" },
  { name: "pairs-4x16", decoder: "pairs", lanes: 4, outputs: 16, reduce: "memory" },
  { name: "pairs-4x16-subgroups", decoder: "pairs", lanes: 4, outputs: 16, reduce: "subgroups" },
  { name: "shift-4x16", decoder: "shift", lanes: 4, outputs: 16, reduce: "memory" },
  { name: "safe-4x16", decoder: "safe", lanes: 4, outputs: 16, reduce: "memory" },
  { name: "pairs-8x16", decoder: "pairs", lanes: 8, outputs: 16, reduce: "memory" },
  ...(["pairs", "shift", "safe"] as const).map((decoder) => ({
    ...{ name: `${decoder}-4x16-broadcast`, decoder, lanes: 4, outputs: 16 } as const,
    ...{ reduce: "memory", broadcast: true } as const,
  })),
];

/**
 * The variant of a name.
 * @throws {RangeError} if there is none
 */
export function variantOf(name: string): ProductVariant {
  const variant = PRODUCT_VARIANTS.find((variant) => variant.name === name);
  if (variant) return variant;
  const names = PRODUCT_VARIANTS.map(({ name }) => name).join(", ");
  throw new RangeError(`Cannot find kernels "${name}": there are ${names}`);
}

/**
 * What is taken where nothing was measured. On a GPU many lanes keep many loads in flight; a CPU that runs shaders wants
 * long stretches a lane and large register tiles, because a load costs it more than ten multiplications.
 */
export function defaultVariant(device: boolean | TileDevice): ProductVariant {
  const { software, subgroupSize } = typeof device === "boolean"
    ? { software: device, subgroupSize: 0 }
    : device;
  if (canBroadcast({ software, subgroupSize })) return variantOf("pairs-4x16-broadcast");
  return variantOf(software ? "pairs-4x16" : "pairs-32x8");
}

/** The variants that a device can run and that may suit it. */
export function runnableVariants(device: TileDevice): readonly ProductVariant[] {
  return PRODUCT_VARIANTS.filter(({ reduce, lanes, broadcast }) =>
    (reduce === "memory" || lanes <= device.subgroupSize) && (!broadcast || canBroadcast(device))
  );
}
