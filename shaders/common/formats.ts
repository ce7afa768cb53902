/**
 * How matrices are stored, as values: kernels are specialised by one. A new format is one more value and its
 * snippet, which declares what `unit.wgsl` lists.
 * @module
 */
import bf16 from "./bf16.wgsl" with { type: "text" };
import fp8 from "./fp8.wgsl" with { type: "text" };
import int8 from "./int8.wgsl" with { type: "text" };
import unit from "./unit.wgsl" with { type: "text" };

/** The storage formats that have kernels. */
export type FormatName = "fp8" | "bf16" | "int8";

/** Neighbouring weights of a row that a kernel decodes at a time; every row has a multiple of it. */
export const UNIT = 16;

/** One storage format of a matrix [n, k]. */
export interface WeightFormat {
  readonly name: FormatName;
  /** Bytes of 16 neighbouring weights, without scales. */
  readonly unitBytes: number;
  /** Weights of a row that share one BF16 scale; 0: the format has no scales. */
  readonly blockK: number;
  /** WGSL: `Codes`, `decode()`, `scale_value()` and `Unit`. */
  readonly snippet: string;
}

/** Every format by name. */
export const FORMATS: Readonly<Record<FormatName, WeightFormat>> = {
  fp8: { name: "fp8", unitBytes: 16, blockK: 128, snippet: unit + fp8 },
  int8: { name: "int8", unitBytes: 16, blockK: 128, snippet: unit + int8 },
  bf16: { name: "bf16", unitBytes: 32, blockK: 0, snippet: unit + bf16 },
};
