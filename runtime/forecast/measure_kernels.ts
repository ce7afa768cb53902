/** Measures what the engine's kernels reach on an open device. Blocks its thread while the device works. @module */
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { planInput } from "../plan_input.ts";
import { type KernelRates, SEVERAL } from "./kernel_rates.ts";
import {
  CHUNK,
  leastSizes,
  PROBE_CONTEXT,
  probeChoice,
  ProbeModel,
  realSizes,
} from "./probe_model.ts";
import type { Stopwatch } from "./stopwatch.ts";
import type { Subject } from "./subject.ts";
import { attentionFlops, deltaFlops, expertFlops, matrixBytes } from "./traffic.ts";

/** Experts that share a chunk's rows where they shall be few for each, and many. */
const SPREAD = 64;
const CROWDED = 8;
/** Pairs that one reading of an expert serves. */
const EXPERT_TILE = 4;

/** Steps that are run one by one: the best counts. */
const SINGLE_STEPS = 8;

const NARROW = /^matmul_.*(fp8|int8)/;
const WIDE = /^matmul_.*bf16/;
const DELTA = /^(causal|delta|gated)/;
const ATTENTION = /^attention/;

/**
 * Measures every rate, with the usual variant of the kernels unless another is given; every buffer is freed again.
 * @throws {Error} if the device has no room for it
 */
export async function measureKernels(
  watch: Stopwatch,
  variant?: ProductVariant,
): Promise<KernelRates> {
  const { gpu } = watch;
  // Most of the time goes into compiling: what both models run is compiled once.
  const kernels = new KernelCache(gpu.device, variant);
  const probe = async <T>(subject: Subject, measure: (model: ProbeModel) => Promise<T>) =>
    await withModel(gpu, { subject, kernels }, measure);
  return {
    ...await probe(realSizes(gpu), (model) => measureParts(watch, model)),
    ...await probe(leastSizes(), (model) => measureSteps(watch, model)),
  };
}

async function withModel<T>(
  gpu: Gpu,
  { subject, kernels }: { readonly subject: Subject; readonly kernels: KernelCache },
  measure: (model: ProbeModel) => Promise<T>,
): Promise<T> {
  gpu.device.pushErrorScope("out-of-memory");
  const model = new ProbeModel(gpu, subject, kernels);
  try {
    const error = await gpu.device.popErrorScope();
    if (error) throw new Error(`Cannot time kernels: ${error.message}`);
    return await measure(model);
  } finally {
    model.close();
  }
}

/** What steps cost beside the work: in a row, and one by one. */
async function measureSteps(
  watch: Stopwatch,
  model: ProbeModel,
): Promise<Pick<KernelRates, "dispatch" | "token">> {
  const one = { rows: 1, segments: 1, context: 0 };
  model.prepare(one);
  const work = model.whole();
  const step = await watch.seconds(work);
  let single = Infinity;
  for (let run = 0; run < SINGLE_STEPS; run++) {
    single = Math.min(
      single,
      await watch.once(() => {
        model.prepare(one);
        work(1);
      }),
    );
  }
  return { dispatch: step / model.dispatches, token: Math.max(0, single - step) };
}

type Parts = Omit<KernelRates, "dispatch" | "token">;

async function measureParts(watch: Stopwatch, model: ProbeModel): Promise<Parts> {
  const { gpu } = watch;
  const sizes = sizesOf(gpu, model.subject);
  const timed = (names: RegExp) => watch.seconds(model.kernels(names));
  const several = async (rows: number) => ({
    distinct: model.prepare({ rows, segments: rows, context: 0 }),
    narrow: sizes.narrow / await timed(NARROW),
    wide: sizes.wide / await timed(WIDE),
  });
  const chosen = model.prepare({ rows: 1, segments: 1, context: PROBE_CONTEXT }) + 1;
  const one = {
    narrow: sizes.narrow / await timed(NARROW),
    wide: sizes.wide / await timed(WIDE),
    experts: chosen * sizes.expert / await watch.seconds(model.experts()),
    state: 2 * sizes.state / await timed(DELTA),
    attention: PROBE_CONTEXT * sizes.kv / await timed(ATTENTION),
  };
  const [four, sixteen] = [await several(SEVERAL.four), await several(SEVERAL.sixteen)];
  const eight = await several(SEVERAL.eight);
  const chosenByEight = eight.distinct + SEVERAL.eight / EXPERT_TILE;
  const byEight = chosenByEight * sizes.expert / await watch.seconds(model.experts());
  const many = await measureChunk(model, watch, sizes);
  const matrixRates = (of: "narrow" | "wide") => ({
    ...{ one: one[of], four: four[of], eight: eight[of], sixteen: sixteen[of] },
    many: many[of],
  });
  return {
    narrow: matrixRates("narrow"),
    wide: matrixRates("wide"),
    experts: { one: one.experts, several: byEight, tile: EXPERT_TILE, many: many.experts },
    delta: { step: one.state, chunk: many.delta },
    attention: { decode: one.attention, prefill: many.attention },
  };
}

/** A step of a prompt; its experts twice, to tell reading them from multiplying with them. */
async function measureChunk(model: ProbeModel, watch: Stopwatch, sizes: Sizes) {
  const { subject } = model;
  const timed = (names: RegExp) => watch.seconds(model.kernels(names));
  const context = PROBE_CONTEXT - CHUNK;
  const spread = model.prepare({ rows: CHUNK, segments: 1, context, experts: SPREAD });
  const [narrow, wide] = [await timed(NARROW), await timed(WIDE)];
  const [delta, attention] = [await timed(DELTA), await timed(ATTENTION)];
  const far = await watch.seconds(model.experts());
  const crowded = model.prepare({ rows: CHUNK, segments: 1, context, experts: CROWDED });
  const near = await watch.seconds(model.experts());
  const seconds = Math.max(far - near, 1e-3 * far) / (spread - crowded); // of one more expert
  const read = sizes.expert / seconds;
  const computing = Math.max(near - (crowded + 1) * seconds, 1e-3 * near);
  return {
    narrow: 2 * CHUNK * sizes.narrow / narrow,
    // The head is for few rows.
    wide: CHUNK * (sizes.wide - sizes.head) / wide,
    experts: { read, compute: CHUNK * expertFlops(subject) / sizes.layers / computing },
    delta: CHUNK * deltaFlops(subject) / delta,
    attention: CHUNK * attentionFlops(subject, context + CHUNK / 2) / attention,
  };
}

type Sizes = ReturnType<typeof sizesOf>;

/** Bytes of the model's parts, in all layers. */
function sizesOf(gpu: Gpu, subject: Subject) {
  const { config, tensors } = subject;
  const input = planInput(config, tensors, probeChoice(gpu));
  const { narrow, wide, head } = matrixBytes(subject, input, {});
  const { layers } = config;
  return {
    layers,
    narrow,
    wide,
    head: head.wide,
    expert: input.experts!.stride,
    state: input.stateSlot,
    kv: input.kvPage / input.pageTokens,
  };
}
