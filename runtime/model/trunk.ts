/** Loads everything of the text model that is always on the GPU, layer by layer. @module */
import { allEnded } from "../lanes.ts";
import type { ModelConfig } from "./config.ts";
import { headName, layerPrefix, textPrefix } from "./names.ts";
import type { AttentionWeights, DeltaWeights, Matrix, MlpWeights } from "./parts.ts";
import type { Snapshot } from "../../weights/mod.ts";
import type { Placement } from "./placement.ts";
import type { Quantizer } from "./quantizer.ts";

/** The mixer of a layer. */
export type MixerWeights =
  | { readonly kind: "linear"; readonly delta: DeltaWeights }
  | { readonly kind: "full"; readonly attention: AttentionWeights };

/** What follows the mixer; routed experts are paged apart. */
export type BlockWeights =
  | { readonly kind: "dense"; readonly mlp: MlpWeights }
  | { readonly kind: "moe"; readonly router: Matrix; readonly shared: MlpWeights | null };

/** One layer. */
export interface LayerWeights {
  /** f32 [hidden], zero-centred. */
  readonly inputNorm: GPUBuffer;
  /** f32 [hidden], zero-centred. */
  readonly postNorm: GPUBuffer;
  readonly mixer: MixerWeights;
  readonly block: BlockWeights;
}

/** All of the trunk. */
export interface Trunk {
  /** BF16 [vocab, hidden]; null where it stays in the file and its rows are gathered by the host. */
  readonly embedding: Matrix | null;
  readonly layers: readonly LayerWeights[];
  /** f32 [hidden], zero-centred. */
  readonly finalNorm: GPUBuffer;
  /** [vocab, hidden]. */
  readonly head: Matrix;
}

/** What of the trunk is placed. */
export interface TrunkChoice {
  /** The shared experts have slots among the routed ones and are left out here. */
  readonly sharedInSlots: boolean;
  /** The embedding table is wanted on the GPU. */
  readonly embedding: boolean;
  /** Rounds the head to 8 bits; null leaves it as it is stored. */
  readonly quantizer: Quantizer | null;
}

/**
 * Places the trunk of a checked snapshot, its layers side by side: `placement` bounds what is read at a time.
 * @throws {WeightsError} if a weight cannot be read or is not finite
 */
export async function loadTrunk(
  config: ModelConfig,
  snapshot: Snapshot,
  placement: Placement,
  { sharedInSlots, embedding, quantizer }: TrunkChoice,
): Promise<Trunk> {
  const prefix = textPrefix((name) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined);
  const layers = await allEnded(
    config.layerKinds.map((_, index) =>
      loadLayer({ config, at: layerPrefix(prefix, index), index, sharedInSlots }, placement)
    ),
  );
  const finalNorm = await placement.vector(`${prefix}norm.weight`);
  const head = await placement.matrix([headName(config, prefix)], quantizer);
  const table = async () => {
    const isHead = config.tiedEmbeddings && head.format === "bf16";
    return isHead ? head : await placement.matrix([`${prefix}embed_tokens.weight`]);
  };
  return { embedding: embedding ? await table() : null, layers, finalNorm, head };
}

interface LayerSite {
  readonly config: ModelConfig;
  /** What stands before the names of its tensors. */
  readonly at: string;
  readonly index: number;
  readonly sharedInSlots: boolean;
}

async function loadLayer(
  { config, at, index, sharedInSlots }: LayerSite,
  placement: Placement,
): Promise<LayerWeights> {
  return {
    inputNorm: await placement.vector(`${at}input_layernorm.weight`),
    postNorm: await placement.vector(`${at}post_attention_layernorm.weight`),
    mixer: config.layerKinds[index] === "linear"
      ? { kind: "linear", delta: await loadDelta(`${at}linear_attn.`, placement) }
      : { kind: "full", attention: await loadAttention(`${at}self_attn.`, placement) },
    block: config.mlp.kind === "dense"
      ? { kind: "dense", mlp: await loadMlp(`${at}mlp.`, placement) }
      : await loadMoe(`${at}mlp.`, placement, sharedInSlots),
  };
}

async function loadDelta(at: string, placement: Placement): Promise<DeltaWeights> {
  return {
    qkvz: await placement.matrix([`${at}in_proj_qkv.weight`, `${at}in_proj_z.weight`]),
    ba: await placement.matrix([`${at}in_proj_b.weight`, `${at}in_proj_a.weight`]),
    conv: await placement.vector(`${at}conv1d.weight`),
    aLog: await placement.vector(`${at}A_log`),
    dtBias: await placement.vector(`${at}dt_bias`),
    norm: await placement.vector(`${at}norm.weight`),
    out: await placement.matrix([`${at}out_proj.weight`]),
  };
}

async function loadAttention(at: string, placement: Placement): Promise<AttentionWeights> {
  return {
    qkv: await placement.matrix([`${at}q_proj.weight`, `${at}k_proj.weight`, `${at}v_proj.weight`]),
    qNorm: await placement.vector(`${at}q_norm.weight`),
    kNorm: await placement.vector(`${at}k_norm.weight`),
    out: await placement.matrix([`${at}o_proj.weight`]),
  };
}

async function loadMoe(
  at: string,
  placement: Placement,
  sharedInSlots: boolean,
): Promise<BlockWeights> {
  return {
    kind: "moe",
    router: await placement.matrix([`${at}gate.weight`, `${at}shared_expert_gate.weight`]),
    shared: sharedInSlots ? null : await loadMlp(`${at}shared_expert.`, placement),
  };
}

async function loadMlp(at: string, placement: Placement): Promise<MlpWeights> {
  return {
    gateUp: await placement.matrix([`${at}gate_proj.weight`, `${at}up_proj.weight`]),
    down: await placement.matrix([`${at}down_proj.weight`]),
  };
}
