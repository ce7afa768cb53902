/** The decay of the gated delta rule, for kernels. @module */
import source from "./gates.wgsl" with { type: "text" };

/** WGSL text of `log_decay(a, a_log, dt_bias)`. */
export const DELTA_GATES_WGSL: string = source;
