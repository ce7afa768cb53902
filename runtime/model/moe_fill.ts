/**
 * The experts of a layer where the GPU pages them by itself: in every wave it gives experts their slots and copies them from
 * host memory, then the kernels of the experts run on those that are there.
 * @module
 */
import {
  fillExperts,
  fillGrid,
  type FillShape,
  fillSizes,
  resolveExperts,
  resolveSizes,
  wavesOf,
} from "../../shaders/moe_fill/moe_fill.ts";
import type { Grid } from "../../shaders/kernel_spec.ts";
import type { Bound } from "../gpu/kernel.ts";
import type { Program } from "../gpu/program.ts";
import { DECODE_ROWS, type ExpertPool, type HostExperts, type Phase } from "./parts.ts";

/** What dispatches are added to. */
export type Target = Pick<Program, "add" | "kernels">;

/** One layer. */
export interface FillParts {
  readonly experts: number;
  readonly topK: number;
  readonly maxRows: number;
  readonly step: GPUBuffer;
  /** u32 [rows, topK + 1]: what the router chose, the shared expert last. */
  readonly ids: Bound;
  readonly pool: ExpertPool;
}

const NOTHING: Grid = [0, 0, 0];

/**
 * Adds as many waves as the largest step of the phase can need: `addWave` adds the experts' kernels of one to the target that
 * it is given. A step records only as many as its rows can need.
 */
export function addWaves(
  program: Program,
  phase: Phase,
  { parts, host }: { readonly parts: FillParts; readonly host: HostExperts },
  addWave: (target: Target) => void,
): void {
  const { experts, topK, maxRows, pool: { slots } } = parts;
  const shape = { experts, topK, slots };
  const most = wavesOf(shape, phase === "decode" ? DECODE_ROWS : maxRows);
  for (let wave = 0; wave < most; wave++) {
    const target: Target = {
      kernels: program.kernels,
      add: (spec, buffers, grid, indirect) =>
        program.add(
          spec,
          buffers,
          (step) => wave < wavesOf(shape, step.rows) ? grid(step) : NOTHING,
          indirect,
        ),
    };
    addFill(target, { parts, host, shape, wave });
    addWave(target);
  }
}

/** Gives the wave's experts their slots and copies those that are missing. */
function addFill(target: Target, { parts: { step, ids, pool }, host, shape, wave }: {
  readonly parts: FillParts;
  readonly host: HostExperts;
  readonly shape: FillShape;
  readonly wave: number;
}): void {
  const { fills, counters, state, table: places, stride, sharedSlot } = host;
  target.add(resolveExperts(shape), {
    step,
    ids,
    places,
    table: pool.table,
    state,
    fills,
    counters,
    sizes: target.kernels.uniform(resolveSizes(wave, sharedSlot)),
  }, () => [1, 1, 1]);
  for (const { firstPlace, places, buffer: source } of host.parts) {
    for (const { firstSlot, slots, buffer } of pool.chunks) {
      target.add(fillExperts(), {
        step,
        fills,
        source,
        slots: buffer,
        sizes: target.kernels.uniform(
          fillSizes({ stride, firstPlace, places, firstSlot, slots }),
        ),
      }, ({ rows }) => fillGrid(shape, stride, rows));
    }
  }
}
