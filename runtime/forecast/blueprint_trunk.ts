/** The trunk of a model by the names and shapes of its tensors alone, as `loadTrunk` would place it. @module */
import { INT8_SCALE_ROWS, int8ScaleCount } from "../../shaders/quantize/quantize.ts";
import type { GpuMemory } from "../gpu/memory.ts";
import type { LayerKind, ModelConfig } from "../model/config.ts";
import { headName, layerPrefix, SCALE_BLOCK, textPrefix } from "../model/names.ts";
import type { FormatName, Matrix, MatrixSlice, MlpWeights } from "../model/parts.ts";
import { sliceRows } from "../model/placement.ts";
import type { BlockWeights, LayerWeights, MixerWeights, Trunk } from "../model/trunk.ts";
import type { SizedTensor } from "../plan_input.ts";

/** What of a trunk is wanted. */
export interface TrunkSketch {
  /** With the layers that are wanted, and no others. */
  readonly config: ModelConfig;
  /** Where each of them stands in the whole model. */
  readonly indices: readonly number[];
  readonly tensors: readonly SizedTensor[];
  /** The shared experts have slots among the routed ones. */
  readonly sharedInSlots: boolean;
  /** The embedding table is on the GPU, too. */
  readonly embedding: boolean;
  /** The head is rounded to 8 bits. */
  readonly int8Head: boolean;
}

/** Matrices and vectors by their names. */
interface Shelf {
  matrix(names: readonly string[], int8?: boolean): Matrix;
  vector(name: string): GPUBuffer;
}

/**
 * Allocates the trunk; what its buffers hold is nobody's weights.
 * @throws {RangeError} if a tensor that the configuration asks for is missing
 */
export function sketchTrunk(memory: GpuMemory, sketch: TrunkSketch): Trunk {
  const { config, indices, tensors, embedding, int8Head } = sketch;
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const shelf = openShelf(memory, byName);
  const prefix = textPrefix((name) => byName.get(name)?.dtype);
  const layers = config.layerKinds.map((kind, i) =>
    layerOf(shelf, sketch, { at: layerPrefix(prefix, indices[i]!), kind })
  );
  const head = shelf.matrix([headName(config, prefix)], int8Head);
  const isHead = config.tiedEmbeddings && head.format === "bf16";
  const table = () => isHead ? head : shelf.matrix([`${prefix}embed_tokens.weight`]);
  return {
    embedding: embedding ? table() : null,
    layers,
    finalNorm: shelf.vector(`${prefix}norm.weight`),
    head,
  };
}

function layerOf(
  shelf: Shelf,
  { config, sharedInSlots }: TrunkSketch,
  { at, kind }: { readonly at: string; readonly kind: LayerKind },
): LayerWeights {
  return {
    inputNorm: shelf.vector(`${at}input_layernorm.weight`),
    postNorm: shelf.vector(`${at}post_attention_layernorm.weight`),
    mixer: kind === "linear"
      ? deltaOf(shelf, `${at}linear_attn.`)
      : attentionOf(shelf, `${at}self_attn.`),
    block: config.mlp.kind === "dense"
      ? { kind: "dense", mlp: mlpOf(shelf, `${at}mlp.`) }
      : moeOf(shelf, `${at}mlp.`, sharedInSlots),
  };
}

function deltaOf({ matrix, vector }: Shelf, at: string): MixerWeights {
  const delta = {
    qkvz: matrix([`${at}in_proj_qkv.weight`, `${at}in_proj_z.weight`]),
    ba: matrix([`${at}in_proj_b.weight`, `${at}in_proj_a.weight`]),
    conv: vector(`${at}conv1d.weight`),
    aLog: vector(`${at}A_log`),
    dtBias: vector(`${at}dt_bias`),
    norm: vector(`${at}norm.weight`),
    out: matrix([`${at}out_proj.weight`]),
  };
  return { kind: "linear", delta };
}

function attentionOf({ matrix, vector }: Shelf, at: string): MixerWeights {
  const attention = {
    qkv: matrix([`${at}q_proj.weight`, `${at}k_proj.weight`, `${at}v_proj.weight`]),
    qNorm: vector(`${at}q_norm.weight`),
    kNorm: vector(`${at}k_norm.weight`),
    out: matrix([`${at}o_proj.weight`]),
  };
  return { kind: "full", attention };
}

function moeOf(shelf: Shelf, at: string, sharedInSlots: boolean): BlockWeights {
  return {
    kind: "moe",
    router: shelf.matrix([`${at}gate.weight`, `${at}shared_expert_gate.weight`]),
    shared: sharedInSlots ? null : mlpOf(shelf, `${at}shared_expert.`),
  };
}

function mlpOf({ matrix }: Shelf, at: string): MlpWeights {
  return {
    gateUp: matrix([`${at}gate_proj.weight`, `${at}up_proj.weight`]),
    down: matrix([`${at}down_proj.weight`]),
  };
}

function openShelf(memory: GpuMemory, tensors: ReadonlyMap<string, SizedTensor>): Shelf {
  const find = (name: string) => {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    throw new RangeError(`Cannot draw a model: it has no tensor "${name}"`);
  };
  return {
    matrix(names, int8 = false) {
      const parts = names.map(find);
      const n = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
      const k = parts[0]!.shape[1]!;
      const stored = parts[0]!.dtype === "F8_E4M3" ? "fp8" : "bf16";
      return placeMatrix(memory, { format: int8 && stored === "bf16" ? "int8" : stored, n, k });
    },
    vector(name) {
      const { shape } = find(name);
      return memory.storage("trunk", name, 4 * shape.reduce((all, length) => all * length, 1));
    },
  };
}

/** A matrix in slices, as `Placement` would cut it. */
function placeMatrix(
  memory: GpuMemory,
  { format, n, k }: { readonly format: FormatName; readonly n: number; readonly k: number },
): Matrix {
  const scaleRows = format === "int8" ? INT8_SCALE_ROWS : SCALE_BLOCK;
  const rowBytes = format === "bf16" ? 2 * k : k;
  const most = sliceRows(rowBytes, memory.maxBinding);
  const slices: MatrixSlice[] = [];
  for (let firstRow = 0; firstRow < n; firstRow += most) {
    const rows = Math.min(most, n - firstRow);
    const scales = format === "fp8"
      ? Math.ceil(rows / scaleRows) * Math.ceil(k / SCALE_BLOCK)
      : format === "int8"
      ? int8ScaleCount({ rows, k })
      : 0;
    slices.push({
      firstRow,
      rows,
      codes: memory.storage("trunk", `codes ${format}`, rows * rowBytes),
      scales: scales > 0 ? memory.storage("trunk", "scales", 2 * scales) : null,
    });
  }
  return { format, n, k, scaleRows, slices };
}
