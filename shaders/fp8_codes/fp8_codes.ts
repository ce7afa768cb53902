/** Decodes every FP8 code as kernels do: how a device is tried out. @module */
import { FORMATS } from "../common/formats.ts";
import { type Fp8Decoder, fp8DecoderConstants } from "../common/fp8.ts";
import type { Grid, KernelSpec } from "../kernel_spec.ts";
import source from "./fp8_codes.wgsl" with { type: "text" };

/** The kernel. Buffers: codes u8 [256]; scales BF16 [16]; y f32 [256], the values times the scale of their sixteen. */
export function fp8Codes(decoder: Fp8Decoder): KernelSpec {
  return {
    name: `fp8_codes_${decoder}`,
    source: FORMATS.fp8.snippet + source,
    bindings: { codes: "read", scales: "read", y: "read_write" },
    constants: fp8DecoderConstants(decoder),
  };
}

/** The grid of `fp8Codes`. */
export const FP8_CODES_GRID: Grid = [1, 1, 1];
