/** Speed over the memory of a card. @module */
import { type MemoryPlan, PlanError, type PlanInput, planMemory } from "../plan.ts";
import { decodeSpeed } from "./decode.ts";
import { type ForecastRequest, memoryInput, speedInput } from "./estimate.ts";

/** One card. */
export interface CurvePoint {
  /** Its memory, bytes. */
  readonly vram: number;
  /** Tokens a second of one sequence. */
  readonly rate: number;
  /** The same where every text is about something else. */
  readonly least: number;
}

/** Memory from and to which a curve is drawn, bytes. */
export interface CurveRange {
  readonly from: number;
  readonly to: number;
}

const POINTS = 96;

/** Points evenly spaced over the logarithm of memory; none where the model does not fit. */
export function vramCurve(request: ForecastRequest, { from, to }: CurveRange): CurvePoint[] {
  const input = memoryInput(request);
  if (from === to) return pointAt(request, input, from);
  return Array.from({ length: POINTS }, (_, i) => from * (to / from) ** (i / (POINTS - 1)))
    .flatMap((vram) => pointAt(request, input, vram));
}

function pointAt(
  request: ForecastRequest,
  input: Omit<PlanInput, "budget">,
  vram: number,
): CurvePoint[] {
  const plan = planAt(input, Math.ceil(vram * request.device.usable));
  if (plan === null) return [];
  const speed = speedInput(request, plan);
  const at = (unconnected: boolean) =>
    decodeSpeed(speed, { sequences: 1, context: 0, unconnected }).tokensPerSecond.value;
  return [{ vram, rate: at(false), least: at(true) }];
}

function planAt(input: Omit<PlanInput, "budget">, budget: number): MemoryPlan | null {
  try {
    return planMemory({ ...input, budget });
  } catch (error) {
    if (error instanceof PlanError) return null;
    throw error;
  }
}
