/** What the running machine should reach, from its own measured rates: to be held against what it does. @module */
import type { MemoryPlan } from "../plan.ts";
import type { PlanChoice } from "../plan_input.ts";
import { decodeSpeed, type PlannedSizes } from "./decode.ts";
import { type Derived, digits } from "./derived.ts";
import { memoryInput } from "./estimate.ts";
import type { Rates } from "./measure.ts";
import { ownDevice } from "./own_device.ts";
import { prefillSpeed } from "./prefill.ts";
import type { Paging } from "./paging.ts";
import type { Subject } from "./subject.ts";

/** An engine as it was opened, on a device that was measured. */
export interface RunningEngine {
  readonly subject: Subject;
  readonly choice: PlanChoice;
  /** The engine's own plan. */
  readonly plan: Pick<MemoryPlan, "budget"> & PlannedSizes;
  /** As `measureRates` found them. */
  readonly rates: Rates;
  /** Who brings missing experts; the host, unless said. */
  readonly paging?: Paging;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
  /** Whether it runs ahead of the host; not, unless said. */
  readonly ahead?: boolean;
  /** Bytes a second at which experts come in, where that was measured; else it is assumed. */
  readonly pageIn?: number;
}

/** What is run. */
export interface PredictedLoad {
  /** Sequences that decode together. */
  readonly sequences: number;
  /** Tokens before each. */
  readonly context: number;
  /** Tokens of the prompt whose reading is predicted. */
  readonly promptTokens: number;
}

/** What should come of it. */
export interface Prediction {
  /** Expert slots of each layer. */
  readonly slots: number;
  /** Dispatches of a step that decodes. */
  readonly dispatches: number;
  readonly hitRate: Derived;
  /** Tokens a second of all sequences together. */
  readonly decode: Derived;
  /** Prompt tokens a second. */
  readonly prefill: Derived;
}

/** The prediction for an engine under a load. */
export function predict(engine: RunningEngine, load: PredictedLoad): Prediction {
  const { subject, choice, plan, rates, software, pageIn } = engine;
  const own = ownDevice("this machine", plan.budget, { rates, software });
  const input = {
    ...{ subject, choice, plan },
    input: memoryInput({ subject, choice }),
    paging: engine.paging ?? "paged",
    ahead: engine.ahead ?? false,
    device: pageIn === undefined ? own : { ...own, host: pageIn, link: pageIn },
  };
  const { tokensPerSecond, sources, dispatches } = decodeSpeed(input, load);
  return {
    slots: plan.expertSlots,
    dispatches,
    hitRate: sources?.hits ?? { value: 1, formula: "no routed experts" },
    decode: tokensPerSecond,
    prefill: prefillSpeed(input, { tokens: load.promptTokens, chunk: choice.chunkRows }),
  };
}

/** The prediction as a line beside a measurement. */
export function besideMeasured(predicted: Derived, measured: number): string {
  return `predicted ${digits(predicted.value)} = ${predicted.formula}; measured ${
    (100 * measured / predicted.value).toFixed(0)
  } % of it`;
}
