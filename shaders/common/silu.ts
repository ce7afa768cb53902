/** The SiLU and sigmoid functions for kernels. @module */
import source from "./silu.wgsl" with { type: "text" };

/** WGSL text of `silu(x: f32)` and `sigmoid(x: f32)`. */
export const SILU_WGSL: string = source;
