/**
 * The forward pass as programs: built once from the placed weights, recorded at every step. Where experts
 * are paged the host may stop between the parts of a layer, so each layer is three programs.
 * @module
 */
import { squareBlock } from "../../shaders/common/products.ts";
import { embed, embedGrid } from "../../shaders/embed/embed.ts";
import { gatherRows, gatherRowsGrid } from "../../shaders/gather_rows/gather_rows.ts";
import { rmsNorm, rmsNormGrid } from "../../shaders/rms_norm/rms_norm.ts";
import { splitNorm, splitNormGrid } from "../../shaders/rms_norm/split_norm.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { Kernel, KernelCache } from "../gpu/kernel.ts";
import { Program } from "../gpu/program.ts";
import { addAttention } from "./attention.ts";
import type { ModelConfig } from "./config.ts";
import { addDeltaNet } from "./delta_net.ts";
import { addMatmul, squareParts } from "./linear.ts";
import { addMlp } from "./mlp.ts";
import { addCombine, addExperts, addRoute } from "./moe.ts";
import type { MoeParts } from "./moe_parts.ts";
import type { LayerCaches } from "./caches.ts";
import {
  DECODE_ROWS,
  type ExpertPool,
  type KvFormat,
  type Phase,
  type SplitNorm,
  type StepBuffers,
} from "./parts.ts";
import type { ModelScratch } from "./scratch.ts";
import type { LayerWeights, Trunk } from "./trunk.ts";

/** One layer, cut where the host may step in. */
export interface LayerPrograms {
  /** Mixer and, in a mixture of experts, everything up to the choice of experts. */
  readonly route: Program;
  /** The routed experts that are resident now; may run several times, each time with others. */
  readonly experts: Program;
  /** Adds the experts' outputs to the residual stream, where `experts` has not. */
  readonly combine: Program;
}

/** The whole pass for one phase. */
export interface ForwardPrograms {
  readonly embed: Program;
  readonly layers: readonly LayerPrograms[];
  /** Final norm and head of the wanted rows. */
  readonly head: Program;
}

/** What the programs are made of. */
export interface ForwardParts {
  readonly config: ModelConfig;
  readonly trunk: Trunk;
  /** One entry a layer. */
  readonly caches: readonly LayerCaches[];
  /** How the caches hold keys and values. */
  readonly kvFormat: KvFormat;
  /** One entry a layer; empty in a dense model. */
  readonly pools: readonly ExpertPool[];
  readonly steps: StepBuffers;
  readonly scratch: ModelScratch;
  /** Most tokens of a sequence. */
  readonly maxContext: number;
}

/** Builds the programs of one phase; pipelines come from `kernels`. */
export function buildForward(
  device: GPUDevice,
  kernels: KernelCache,
  phase: Phase,
  parts: ForwardParts,
): ForwardPrograms {
  const program = () => new Program(device, kernels);
  const embedding = program();
  const { steps, scratch, config } = parts;
  // The host has gathered the rows: the table is the step's own, row r for row r.
  const table = { width: config.hidden, firstId: 0, ids: scratch.maxRows };
  embedding.add(
    embed(table),
    { step: steps.step, ids: scratch.embedIds, table: scratch.embedRows, y: scratch.hidden },
    (shape) => embedGrid(table, shape),
  );
  const layers = parts.trunk.layers.map((layer, index): LayerPrograms => {
    const programs = { route: program(), experts: program(), combine: program() };
    addMixer(programs.route, phase, parts, index, layer);
    addBlock(programs, phase, parts, index, layer);
    return programs;
  });
  const head = program();
  addHead(head, parts);
  return { embed: embedding, layers, head };
}

/** Records all layers into an open pass, or of kernels in `done` nothing; returns the dispatches. */
export function recordLayers(
  { layers }: ForwardPrograms,
  pass: GPUComputePassEncoder,
  shape: StepShape,
  done?: Set<Kernel>,
): number {
  let dispatches = 0;
  for (const { route, experts, combine } of layers) {
    for (const program of [route, experts, combine]) {
      dispatches += program.record(pass, shape, done);
    }
  }
  return dispatches;
}

/** h += mixer(norm(h)). */
function addMixer(
  program: Program,
  phase: Phase,
  parts: ForwardParts,
  index: number,
  layer: LayerWeights,
): void {
  const { config, steps, scratch } = parts;
  const { step } = steps;
  const norm = splitNormOf(parts, layer.inputNorm);
  // The first layer's input is the embedding, which comes from no product.
  if (index === 0) addSplitNorm(program, parts, norm);
  addNorm(program, parts, layer.inputNorm);
  const next = splitNormOf(parts, layer.postNorm);
  const caches = parts.caches[index]!;
  const { mixed, mixerOut, normed, hidden } = scratch;
  if (layer.mixer.kind === "linear") {
    const weights = layer.mixer.delta;
    addMatmul(program, phase, { step, x: normed, norm, y: mixed }, weights.qkvz);
    addDeltaNet(
      program,
      phase,
      {
        steps,
        scratch: scratch.delta,
        weights,
        state: caches.delta!,
        shape: { ...config.delta, hidden: config.hidden, epsilon: config.rmsEps },
      },
      { x: normed, norm, mixed, out: mixerOut },
    );
    addMatmul(program, phase, { step, x: mixerOut, y: hidden, next }, weights.out);
  } else {
    const weights = layer.mixer.attention;
    addMatmul(program, phase, { step, x: normed, norm, y: mixed }, weights.qkv);
    addAttention(program, phase, {
      sizes: { ...config.attention, epsilon: config.rmsEps },
      maxContext: parts.maxContext,
      steps,
      scratch: scratch.attention,
      weights,
      arenas: caches.arenas,
      kvFormat: parts.kvFormat,
      qkv: mixed,
      out: mixerOut,
    });
    addMatmul(program, phase, { step, x: mixerOut, y: hidden, next }, weights.out);
  }
}

/** h += mlp(norm(h)), or the mixture of experts in its three parts. */
function addBlock(
  { route, experts, combine }: LayerPrograms,
  phase: Phase,
  parts: ForwardParts,
  index: number,
  layer: LayerWeights,
): void {
  const { config, steps: { step }, scratch } = parts;
  const { normed: x, hidden: h, block, maxRows } = scratch;
  addNorm(route, parts, layer.postNorm);
  const norm = splitNormOf(parts, layer.postNorm);
  const { layers, finalNorm } = parts.trunk;
  const next = splitNormOf(parts, layers[index + 1]?.inputNorm ?? finalNorm);
  if (layer.block.kind === "dense") {
    return addMlp(
      route,
      phase,
      { step, x, norm, y: h, next, scratch: block },
      layer.block.mlp,
    );
  }
  if (config.mlp.kind === "dense") {
    throw new TypeError("Cannot build a mixture of experts: the model is dense");
  }
  const { router, shared } = layer.block;
  const moe: MoeParts = {
    sizes: { ...config.mlp, hidden: config.hidden, layers: config.layers },
    maxRows,
    layer: index,
    step,
    scratch: block,
    weights: { router, shared, pool: parts.pools[index]! },
    x,
    norm,
    h,
    next,
  };
  addRoute(route, phase, moe);
  addExperts(experts, phase, moe);
  addCombine(combine, phase, moe);
}

/** Norms the residual stream in steps of many rows. */
function addNorm(
  program: Program,
  { config, steps, scratch }: ForwardParts,
  weight: GPUBuffer,
): void {
  program.add(
    rmsNorm({ width: config.hidden, epsilon: config.rmsEps }),
    { step: steps.step, x: scratch.hidden, weight, y: scratch.normed },
    (shape) => shape.rows <= DECODE_ROWS ? [0, 0, 0] : rmsNormGrid(shape),
  );
}

/** In steps of few rows, the first half of a norm of rows that no kernel of a product has written. */
function addSplitNorm(
  program: Program,
  { steps, scratch }: ForwardParts,
  { weight, scaled, squares, width }: SplitNorm,
): void {
  const { variant } = program.kernels;
  const parts = squareParts({ width }, variant);
  const shape = { width, parts, block: squareBlock(variant) };
  program.add(
    splitNorm(shape),
    { step: steps.step, x: scratch.hidden, weight, scaled, squares },
    (step) => step.rows > DECODE_ROWS ? [0, 0, 0] : splitNormGrid(shape, step),
  );
}

function splitNormOf({ config, scratch }: ForwardParts, weight: GPUBuffer): SplitNorm {
  const { normed: scaled, squares } = scratch;
  return { weight, scaled, squares, width: config.hidden, epsilon: config.rmsEps };
}

/** Logits of the wanted rows: always the kernels for a few rows, so that their bits do not depend on the phase. */
function addHead(program: Program, { config, trunk, steps, scratch }: ForwardParts): void {
  const { step, heads } = steps;
  program.add(
    gatherRows({ width: config.hidden }),
    { step, heads, x: scratch.hidden, y: scratch.headHidden },
    (shape) => gatherRowsGrid({ width: config.hidden }, shape),
  );
  program.add(
    rmsNorm({ width: config.hidden, epsilon: config.rmsEps, head: true }),
    { step, x: scratch.headHidden, weight: trunk.finalNorm, y: scratch.headNormed },
    (shape) => [shape.headRows, 1, 1],
  );
  addMatmul(
    program,
    "decode",
    { step, x: scratch.headNormed, y: scratch.logits, head: true },
    trunk.head,
  );
}
