/** What stands in each tensor of a synthetic snapshot. @module */
import {
  DTYPE_BYTES,
  elementCount,
  encode,
  type FloatDtype,
  type TensorToWrite,
} from "../../weights/mod.ts";
import { SCALE_SUFFIX } from "../model/names.ts";
import type { Inventory, InventoryEntry } from "./inventory.ts";
import { isScale, tensorBytes } from "./inventory.ts";
import { CODE_STD, evens, normals, type Pools, saltOf, tiled } from "./pool.ts";
import type { Sticky } from "./sticky.ts";

/** Choices that decide the numbers. */
export interface ContentChoice {
  readonly seed: number;
  /** What makes routing sticky; null leaves everything plainly random. */
  readonly sticky: Sticky | null;
}

/** How numbers are spread: an even spread over [low, high], or a bell. */
type Spread =
  | { readonly low: number; readonly high: number }
  | { readonly mean: number; readonly std: number };

/** Tensors up to this size are computed number by number. */
const SMALL = 1 << 16;

/** The tensors of `inventory`, each with its bytes. */
export function contents(
  { tensors, config }: Inventory,
  pools: Pools,
  { seed, sticky }: ContentChoice,
): TensorToWrite[] {
  const columns = new Map(tensors.map(({ name, shape }) => [name, shape.at(-1) ?? 1]));
  return tensors.map((tensor) => {
    const { name, shape } = tensor;
    const salt = saltOf(name, seed);
    const data = (): Uint8Array | Iterable<Uint8Array> => {
      if (sticky && name.endsWith("embed_tokens.weight")) {
        const { mean, std } = sticky.embedding();
        return tiled(pools.rows(mean, std), 0, tensorBytes(tensor));
      }
      if (isScale(name)) {
        const weight = name.slice(0, -SCALE_SUFFIX.length);
        const std = gainOf(weight, config.tiedEmbeddings) / Math.sqrt(columns.get(weight)!);
        return scales(
          tensor,
          salt,
          (row, column) => std * (sticky?.factor(weight, row, column) ?? 1),
        );
      }
      const values = sticky?.values(name, elementCount(shape), salt);
      if (values) return encode(values, tensor.dtype as FloatDtype);
      return plain(tensor, pools, { salt, tied: config.tiedEmbeddings });
    };
    return { ...tensor, data };
  });
}

function plain(
  tensor: InventoryEntry,
  pools: Pools,
  { salt, tied }: { readonly salt: number; readonly tied: boolean },
): Uint8Array | Iterable<Uint8Array> {
  const bytes = tensorBytes(tensor);
  if (tensor.dtype === "F8_E4M3") return tiled(pools.codes(), salt, bytes);
  const spread = spreadOf(tensor, tied);
  const count = elementCount(tensor.shape);
  if (count > SMALL && tensor.dtype === "BF16" && "std" in spread) {
    const start = salt * DTYPE_BYTES.BF16;
    return tiled(pools.bf16(spread.mean, spread.std), start, bytes);
  }
  const values = "std" in spread
    ? normals(count, salt, spread.mean, spread.std)
    : evens(count, salt, spread.low, spread.high);
  return encode(values, tensor.dtype as FloatDtype);
}

/** Scales that differ from block to block, so that a wrong index would show. */
function scales(
  tensor: InventoryEntry,
  salt: number,
  stdOf: (row: number, column: number) => number,
): Uint8Array {
  const across = tensor.shape[1]!;
  const values = evens(elementCount(tensor.shape), salt, 0.8 / CODE_STD, 1.2 / CODE_STD);
  return encode(
    values.map((value, i) => value * stdOf(Math.floor(i / across), i % across)),
    "BF16",
  );
}

/** Deviation of the logits. */
const HEAD_GAIN = 2.5;

/** Matrices by the end of their names: output size over input size. The rest have 1. */
const GAINS: readonly (readonly [suffix: RegExp, gain: number])[] = [
  [/lm_head\.weight$/, HEAD_GAIN],
  [/mlp\.gate\.weight$/, 2],
  [/in_proj_b\.weight$/, 1.5],
  [/linear_attn\.out_proj\.weight$/, 1],
  [/self_attn\.o_proj\.weight$/, 2],
  [/down_proj(\.weight)?$/, 1.5],
];

function gainOf(name: string, tied: boolean): number {
  if (tied && name.endsWith("embed_tokens.weight")) return HEAD_GAIN;
  return GAINS.find(([suffix]) => suffix.test(name))?.[1] ?? 1;
}

/** Vectors by the end of their names. */
const SPREADS: readonly (readonly [suffix: RegExp, spread: Spread])[] = [
  [/A_log$/, { low: -5, high: 2 }],
  [/dt_bias$/, { low: -4, high: 1 }],
  [/conv1d\.weight$/, { mean: 0, std: 0.7 }],
  [/linear_attn\.norm\.weight$/, { mean: 1, std: 0.2 }],
  [/q_norm\.weight$/, { mean: 0.5, std: 0.2 }],
  [/k_norm\.weight$/, { mean: 0.3, std: 0.2 }],
  [/\.visual\..*norm\d?\.weight$/, { mean: 1, std: 0.1 }],
  [/bias$/, { mean: 0, std: 0.02 }],
];

function spreadOf({ name, shape }: InventoryEntry, tied: boolean): Spread {
  const known = SPREADS.find(([suffix]) => suffix.test(name))?.[1];
  if (known) return known;
  if (shape.length === 1) return { mean: 0, std: 0.1 };
  const columns = name.includes(".visual.") ? elementCount(shape) / shape[0]! : shape.at(-1) ?? 1;
  // An embedding of its own has unit numbers; one that is the head too has the head's.
  if (name.endsWith("embed_tokens.weight") && !tied) return { mean: 0, std: 1 };
  return { mean: 0, std: gainOf(name, tied) / Math.sqrt(columns) };
}
