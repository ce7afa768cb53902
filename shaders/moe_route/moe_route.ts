/** Choice of experts for each row. @module */
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import source from "./moe_route.wgsl" with { type: "text" };
import broadcasting from "./moe_route_broadcast.wgsl" with { type: "text" };
import routing from "./routing.wgsl" with { type: "text" };

/** Most experts a row may choose. */
export const MAX_TOP_K = 32;

/** How many experts there are and how many a row chooses. */
export interface RouteShape {
  readonly experts: number;
  readonly topK: number;
}

/**
 * Top-k of logits [rows, experts + 1] by softmax over all experts (equal logits: the lower id first), renormalised;
 * the shared expert, id `experts`, comes last with the sigmoid of the last logit. ids u32 and weights f32 [rows, topK + 1],
 * best first. If `table` (u32 [experts + 1]) has NONE for a chosen expert, `step.stopped` becomes the u32 in `stop`
 * (layer + 1; a buffer, so that all layers share one pipeline), and the ids of all rows are there to be read.
 * `broadcast`, of a `TileCut`: few threads tell each other what they found, instead of waiting for each other.
 * @throws {RangeError} unless topK is at most `MAX_TOP_K` and the number of experts
 */
export function moeRoute({ experts, topK }: RouteShape, broadcast: boolean): KernelSpec {
  if (topK < 1 || topK > Math.min(experts, MAX_TOP_K)) {
    throw new RangeError(
      `Cannot route to ${topK} of ${experts} experts: expected between 1 and ${
        Math.min(experts, MAX_TOP_K)
      }`,
    );
  }
  return {
    name: broadcast ? "moe_route_broadcast" : "moe_route",
    source: STEP_WGSL + SILU_WGSL + routing + (broadcast ? broadcasting : source),
    bindings: {
      step: "read_write",
      logits: "read",
      table: "read",
      stop: "read",
      ids: "read_write",
      weights: "read_write",
    },
    constants: { EXPERTS: experts, TOP_K: topK },
  };
}

/** One workgroup a row. */
export function moeRouteGrid(step: StepShape): Grid {
  return [step.rows, 1, 1];
}
