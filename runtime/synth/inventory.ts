/** Every tensor of a snapshot of the family by name, dtype and shape, in the order of the files. @module */
import { type Dtype, DTYPE_BYTES, elementCount } from "../../weights/mod.ts";
import { type ModelConfig, parseConfig } from "../model/config.ts";
import { expectedTensors, SCALE_SUFFIX } from "../model/names.ts";
import { configJson, type SynthFormat } from "./config_json.ts";
import { FAMILY_VOCAB, type Member, VISION } from "./members.ts";

/** What is written of a member. A cut one (any of the three sizes given) has no image tower and no MTP layer. */
export interface SynthModel {
  readonly member: Member;
  readonly format: SynthFormat;
  /** Keep only so many layers. */
  readonly layers?: number;
  /** Keep only so many routed experts a layer. */
  readonly experts?: number;
  /** Entries of the vocabulary; the family's unless given. */
  readonly vocab?: number;
}

/** One tensor of the snapshot. */
export interface InventoryEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** All that a snapshot holds. */
export interface Inventory {
  readonly config: ModelConfig;
  readonly configJson: Record<string, unknown>;
  readonly tensors: readonly InventoryEntry[];
  readonly byteLength: number;
}

const LAYER = "model.language_model.layers.";
/** Tensors that Qwen3.5 keeps in single precision. */
const SINGLE = /linear_attn\.(A_log|norm\.weight)$/;

/**
 * Lists the snapshot without making it.
 * @throws {RangeError} if the cut asks for more than the member has, or leaves too little to route to.
 */
export function inventory(model: SynthModel): Inventory {
  const member = cutMember(model);
  const whole = model.layers === undefined && model.experts === undefined &&
    model.vocab === undefined;
  const choice = { format: model.format, vocab: model.vocab ?? FAMILY_VOCAB, whole };
  const json = configJson(member, choice);
  const config = parseConfig(json);
  const tensors = textInventory(config, model.format);
  if (whole) tensors.push(...mtpTensors(config, model.format));
  if (whole && member.vision) tensors.push(...visionTensors(member.hidden));
  return {
    config,
    configJson: json,
    tensors: fileOrder(tensors),
    byteLength: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
  };
}

/** The tensors of the text model that a config.json describes. */
export function textInventory(config: ModelConfig, format: SynthFormat): InventoryEntry[] {
  return textTensors(config, format).map(entry);
}

/** Bytes of one tensor's data. */
export function tensorBytes({ dtype, shape }: InventoryEntry): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

function cutMember({ member, layers = member.layers, experts }: SynthModel): Member {
  inRange("layers", layers, 1, member.layers);
  if (experts === undefined) return { ...member, layers };
  if (member.mlp.kind === "dense") {
    throw new RangeError(`Cannot keep ${experts} experts: a dense member has none to cut`);
  }
  inRange("experts", experts, member.mlp.topK, member.mlp.experts);
  return { ...member, layers, mlp: { ...member.mlp, experts } };
}

function inRange(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(
    `Cannot keep ${value} ${what}: expected a whole number, ${least} to ${most}`,
  );
}

/** The engine's own list of what it must find, asked with the dtypes that the format would have. */
function textTensors(config: ModelConfig, format: SynthFormat) {
  const fused = (name: string) => name.endsWith("mlp.experts.gate_up_proj");
  return [...expectedTensors(config, (name) => {
    if (format === "bf16") return fused(name) ? "BF16" : undefined;
    return fused(name) || name === "model.embed_tokens.weight" ? undefined : "F8_E4M3";
  })];
}

function entry(
  [name, { shape, dtypes }]: ReturnType<typeof textTensors>[number],
): InventoryEntry {
  return { name, shape, dtype: SINGLE.test(name) ? "F32" : dtypes[0] as Dtype };
}

/** A full-attention layer under another name, and what joins it to the model. */
function mtpTensors(config: ModelConfig, format: SynthFormat): InventoryEntry[] {
  const { hidden } = config;
  const layer = textTensors({ ...config, layers: 1, layerKinds: ["full"] }, format)
    .filter(([name]) => name.startsWith(`${LAYER}0.`))
    .map(([name, rule]) => entry([name.replace(LAYER, "mtp.layers."), rule]));
  const vector = (name: string): InventoryEntry => ({ name, dtype: "BF16", shape: [hidden] });
  return [
    ...layer,
    { name: "mtp.fc.weight", dtype: "BF16", shape: [hidden, 2 * hidden] },
    vector("mtp.norm.weight"),
    vector("mtp.pre_fc_norm_embedding.weight"),
    vector("mtp.pre_fc_norm_hidden.weight"),
  ];
}

function visionTensors(textHidden: number): InventoryEntry[] {
  const { depth, hidden, inner, patch, temporalPatch, merge, positions } = VISION;
  const tensors: InventoryEntry[] = [];
  const add = (name: string, shape: readonly number[]) =>
    tensors.push({ name: `model.visual.${name}`, dtype: "BF16", shape });
  const affine = (name: string, ...shape: number[]) => {
    add(`${name}.weight`, shape);
    add(`${name}.bias`, shape.slice(0, 1));
  };
  affine("patch_embed.proj", hidden, 3, temporalPatch, patch, patch);
  add("pos_embed.weight", [positions, hidden]);
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}.`;
    affine(`${at}norm1`, hidden);
    affine(`${at}norm2`, hidden);
    affine(`${at}attn.qkv`, 3 * hidden, hidden);
    affine(`${at}attn.proj`, hidden, hidden);
    affine(`${at}mlp.linear_fc1`, inner, hidden);
    affine(`${at}mlp.linear_fc2`, hidden, inner);
  }
  const merged = merge * merge * hidden;
  affine("merger.norm", hidden);
  affine("merger.linear_fc1", merged, merged);
  affine("merger.linear_fc2", textHidden, merged);
  return tensors;
}

/** Layer by layer; in a layer the wide elements first, then by name, as the publisher's writer sorts a shard. */
function fileOrder(tensors: readonly InventoryEntry[]): InventoryEntry[] {
  const groups = new Map<string, InventoryEntry[]>();
  for (const tensor of tensors) {
    const group = /^.*layers\.\d+\./.exec(tensor.name)?.[0] ?? tensor.name.split(".")[0]!;
    const list = groups.get(group);
    if (list) list.push(tensor);
    else groups.set(group, [tensor]);
  }
  return [...groups.values()].flatMap((group) =>
    group.sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (a.name < b.name ? -1 : 1))
  );
}

/** Whether a tensor holds the block scales of another. */
export function isScale(name: string): boolean {
  return name.endsWith(SCALE_SUFFIX);
}
