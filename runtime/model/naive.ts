/**
 * The whole model in plain loops and double precision, put together from the naive twins of the kernels:
 * the executable specification. It reads top-down like the paper and is never fast.
 *
 *     h = embed(tokens)
 *     every layer:  h += mixer(norm(h));  h += mlp(norm(h))
 *     logits = head(norm(h))
 * @module
 */
import { attentionNaive } from "../../shaders/attention/naive.ts";
import { causalConvNaive } from "../../shaders/causal_conv/naive.ts";
import { deltaGatesNaive, splitQkvNaive } from "../../shaders/delta_prepare/naive.ts";
import { deltaRuleNaive } from "../../shaders/delta_rule/naive.ts";
import { embedNaive } from "../../shaders/embed/naive.ts";
import { gatedRmsNormNaive } from "../../shaders/gated_rms_norm/naive.ts";
import { matmulNaive } from "../../shaders/matmul/naive.ts";
import { moeCombineNaive } from "../../shaders/moe_combine/naive.ts";
import { type ExpertWeights, moeExpertsNaive } from "../../shaders/moe_experts/naive.ts";
import { moeRouteNaive } from "../../shaders/moe_route/naive.ts";
import { qkPrepareNaive } from "../../shaders/qk_prepare/naive.ts";
import { rmsNormNaive } from "../../shaders/rms_norm/naive.ts";
import { swigluNaive } from "../../shaders/swiglu/naive.ts";
import type { ModelConfig } from "./config.ts";
import { hasFusedExperts, headName, layerPrefix, textPrefix } from "./names.ts";
import type { NaiveWeights } from "./naive_weights.ts";
import { type RopePositions, ropeRow } from "./rope.ts";

/** What one sequence leaves behind for its next tokens: one entry a layer, and how many tokens went in. */
export interface NaiveState {
  tokens: number;
  readonly layers: LayerState[];
}

/** What a layer remembers: every key and value, or the convolution's last inputs and the delta state. */
export type LayerState =
  | { readonly kind: "full"; k: Float64Array; v: Float64Array }
  | { readonly kind: "linear"; conv: Float64Array | null; delta: Float64Array | null };

/** A model and its weights. */
export interface NaiveModel {
  readonly config: ModelConfig;
  readonly weights: NaiveWeights;
  /** Told of each layer's residual stream [tokens, hidden] and of the experts [tokens, topK] that were chosen by it. */
  readonly onRoute?: (layer: number, h: Float64Array, ids: Uint32Array) => void;
}

/** One layer's share of a forward pass. */
interface LayerPass extends NaiveModel {
  readonly index: number;
  /** What stands before the layer's tensor names. */
  readonly at: string;
  readonly state: LayerState;
  readonly positions: readonly RopePositions[];
}

/** The state of a sequence before its first token. */
export function emptyState(config: ModelConfig): NaiveState {
  const layers = config.layerKinds.map((kind): LayerState =>
    kind === "full"
      ? { kind, k: new Float64Array(0), v: new Float64Array(0) }
      : { kind, conv: null, delta: null }
  );
  return { tokens: 0, layers };
}

/**
 * Logits [tokens, vocab] of the next `tokens` of a sequence; `state` is moved past them. `positions` are
 * the rotary positions, one a token; for text they follow the tokens' count.
 */
export function naiveForward(
  model: NaiveModel,
  tokens: readonly number[],
  state: NaiveState,
  positions: readonly RopePositions[] = textPositions(state.tokens, tokens.length),
): Float64Array {
  const { config, weights } = model;
  const { hidden, rmsEps } = config;
  const prefix = textPrefix((name) => weights.dtypeOf(name));
  const norm = (x: Float64Array, name: string) =>
    rmsNormNaive(x, weights.values(name), hidden, rmsEps);
  let h: Float64Array = embedNaive(tokens, weights.values(`${prefix}embed_tokens.weight`), hidden);
  state.layers.forEach((layer, index) => {
    const at = layerPrefix(prefix, index);
    const pass = { ...model, index, at, state: layer, positions };
    h = add(h, mixer(pass, norm(h, `${at}input_layernorm.weight`)));
    h = addMlp(pass, h, norm(h, `${at}post_attention_layernorm.weight`));
  });
  state.tokens += tokens.length;
  const head = weights.values(headName(config, prefix));
  return matmulNaive(norm(h, `${prefix}norm.weight`), head, hidden);
}

/** Natural-log probabilities of every token but the first, given those before it. */
export function naiveLogprobs(model: NaiveModel, tokens: readonly number[]): Float64Array {
  const { vocab } = model.config;
  const logits = naiveForward(model, tokens, emptyState(model.config));
  return Float64Array.from(tokens.slice(1), (token, position) => {
    const row = logits.subarray(position * vocab, (position + 1) * vocab);
    return row[token]! - logSumExp(row);
  });
}

/** log(sum(exp(x))) without overflow. */
export function logSumExp(x: Float64Array): number {
  const most = x.reduce((a, b) => Math.max(a, b));
  return most + Math.log(x.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

/** Position n on all three axes for the n-th token. */
function textPositions(first: number, count: number): readonly RopePositions[] {
  return Array.from({ length: count }, (_, i) => [first + i, first + i, first + i] as const);
}

function mixer(pass: LayerPass, x: Float64Array): Float64Array {
  return pass.state.kind === "full"
    ? gatedAttention(pass, pass.state, x)
    : gatedDeltaNet(pass, pass.state, x);
}

/** q, k, v = W x; norm and rotate q, k; softmax(q k / sqrt(d)) v * sigmoid(gate); output projection. */
function gatedAttention(
  pass: LayerPass,
  state: Extract<LayerState, { kind: "full" }>,
  x: Float64Array,
): Float64Array {
  const { config, weights, positions } = pass;
  const at = `${pass.at}self_attn.`;
  const { heads, headDim, rotaryDim } = config.attention;
  const rope = new Float64Array(positions.length * rotaryDim);
  const writeRow = ropeRow(rotaryDim, config.rope);
  positions.forEach((position, row) => writeRow(position, rope, row * rotaryDim));

  const qkv = weights.stacked(["q", "k", "v"].map((part) => `${at}${part}_proj.weight`));
  const rows = qkPrepareNaive(
    matmulNaive(x, qkv, config.hidden),
    {
      qNorm: weights.values(`${at}q_norm.weight`),
      kNorm: weights.values(`${at}k_norm.weight`),
      rope,
    },
    { ...config.attention, epsilon: config.rmsEps },
  );
  state.k = joined(state.k, rows.k); // [tokens, kvHeads, headDim]
  state.v = joined(state.v, rows.v);
  const mixed = attentionNaive({ ...rows, k: state.k, v: state.v }, config.attention);
  return matmulNaive(mixed, weights.values(`${at}o_proj.weight`), heads * headDim);
}

/** Convolve q, k, v; gates; the delta rule over the rows; norm times silu(z); output projection. */
function gatedDeltaNet(
  pass: LayerPass,
  state: Extract<LayerState, { kind: "linear" }>,
  x: Float64Array,
): Float64Array {
  const { config: { hidden, delta, rmsEps }, weights } = pass;
  const at = `${pass.at}linear_attn.`;
  const project = (names: readonly string[]) =>
    matmulNaive(x, weights.stacked(names.map((name) => `${at}${name}.weight`)), hidden);

  const weight = weights.values(`${at}conv1d.weight`);
  const conv = causalConvNaive(
    { x: project(["in_proj_qkv"]), weight, state: state.conv },
    { channels: weight.length / delta.convKernel, taps: delta.convKernel },
  );
  state.conv = conv.state;
  const gates = deltaGatesNaive(project(["in_proj_b", "in_proj_a"]), {
    aLog: weights.values(`${at}A_log`),
    dtBias: weights.values(`${at}dt_bias`),
  });
  const rule = deltaRuleNaive(
    { ...splitQkvNaive(conv.y, delta), ...gates, state: state.delta },
    delta,
  );
  state.delta = rule.state;
  const normed = gatedRmsNormNaive(
    { x: rule.out, z: project(["in_proj_z"]), weight: weights.values(`${at}norm.weight`) },
    rmsEps,
  );
  const width = delta.valueHeads * delta.valueDim;
  return matmulNaive(normed, weights.values(`${at}out_proj.weight`), width);
}

/** h + the plain MLP, or h + the routed experts + the gated shared expert. */
function addMlp(pass: LayerPass, h: Float64Array, x: Float64Array): Float64Array {
  const { config: { hidden, mlp }, weights } = pass;
  const at = `${pass.at}mlp.`;
  if (mlp.kind === "dense") return add(h, swigluMlp(pass, at, x));
  const router = weights.stacked([`${at}gate.weight`, `${at}shared_expert_gate.weight`]);
  const routes = moeRouteNaive(matmulNaive(x, router, hidden), mlp);
  pass.onRoute?.(pass.index, h, routes.ids);
  const { topK } = mlp;
  const routed = moeExpertsNaive({ x, ids: routes.ids, hidden, topK }, expertReader(pass, mlp.dff));
  const shared = swigluMlp(pass, `${at}shared_expert.`, x);
  return moeCombineNaive(h, { ...routes, routed, shared }, { hidden, topK });
}

/** down(silu(gate x) * up x) */
function swigluMlp({ config, weights }: LayerPass, at: string, x: Float64Array): Float64Array {
  const gateUp = weights.stacked([`${at}gate_proj.weight`, `${at}up_proj.weight`]);
  const dff = gateUp.length / config.hidden / 2;
  const inner = swigluNaive(matmulNaive(x, gateUp, config.hidden), dff);
  return matmulNaive(inner, weights.values(`${at}down_proj.weight`), dff);
}

function expertReader(
  { config: { hidden }, weights, at }: LayerPass,
  dff: number,
): (id: number) => ExpertWeights {
  const fused = hasFusedExperts(at, (name) => weights.dtypeOf(name));
  const size = dff * hidden;
  if (!fused) {
    return (id) => ({
      gate: weights.values(`${at}mlp.experts.${id}.gate_proj.weight`),
      up: weights.values(`${at}mlp.experts.${id}.up_proj.weight`),
      down: weights.values(`${at}mlp.experts.${id}.down_proj.weight`),
    });
  }
  const gateUp = weights.values(`${at}mlp.experts.gate_up_proj`); // [experts, gate then up, hidden]
  const down = weights.values(`${at}mlp.experts.down_proj`); // [experts, hidden, dff]
  return (id) => ({
    gate: gateUp.subarray(2 * id * size, (2 * id + 1) * size),
    up: gateUp.subarray((2 * id + 1) * size, (2 * id + 2) * size),
    down: down.subarray(id * size, (id + 1) * size),
  });
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]!);
}

function joined(a: Float64Array, b: Float64Array): Float64Array {
  const both = new Float64Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
