/** The model that a forecast is about. @module */
import { type ModelConfig, parseConfig } from "../model/config.ts";
import type { SizedTensor } from "../plan_input.ts";
import { configJson } from "../synth/config_json.ts";
import { tensorBytes, textInventory } from "../synth/inventory.ts";
import { FAMILY_VOCAB, type MemberName, MEMBERS } from "../synth/members.ts";

/** How a member's weights are stored. */
export type SubjectFormat = "fp8" | "bf16";

/** A model as far as a forecast goes. */
export interface Subject {
  readonly title: string;
  readonly config: ModelConfig;
  /** Of the text model; of the routed experts only what tells their format. */
  readonly tensors: readonly SizedTensor[];
  /** Weights that a token is multiplied with, the head's not among them. */
  readonly activeWeights: number;
}

/** Names of the family's members. */
export const MEMBER_NAMES = Object.keys(MEMBERS) as readonly MemberName[];

const members = new Map<string, Subject>();

/** A member of the family in its published layout. */
export function memberSubject(name: MemberName, format: SubjectFormat): Subject {
  const title = `${name} ${format}`;
  let subject = members.get(title);
  if (!subject) {
    const json = configJson(MEMBERS[name], { format, vocab: FAMILY_VOCAB, whole: false });
    members.set(title, subject = configSubject(title, parseConfig(json), format));
  }
  return subject;
}

/** A member in FP8 with other sizes. */
export function changedSubject(
  name: MemberName,
  sizes: Partial<Omit<ModelConfig, "layers">> & Pick<ModelConfig, "layerKinds">,
): Subject {
  const config = { ...memberSubject(name, "fp8").config, ...sizes };
  return configSubject(`like ${name}`, { ...config, layers: sizes.layerKinds.length }, "fp8");
}

/** A model of which only the configuration is known. @throws {ConfigError} if it is not of the family */
export function jsonSubject(json: unknown, file: string, format: SubjectFormat): Subject {
  return configSubject(`${file} ${format}`, parseConfig(json, file), format);
}

/** A snapshot's model by its own tensors. */
export function snapshotSubject(
  title: string,
  config: ModelConfig,
  tensors: Iterable<SizedTensor>,
): Subject {
  return subjectOf(title, config, tensors);
}

/** The layout that follows from the configuration, listed with one expert a layer: the others are like it. */
function configSubject(title: string, config: ModelConfig, format: SubjectFormat): Subject {
  const { mlp } = config;
  if (mlp.kind === "dense") return subjectOf(title, config, sized(config, format));
  const one = { ...config, mlp: { ...mlp, experts: 1 } };
  const tensors = sized(one, format).map((tensor) =>
    tensor.name.endsWith(".mlp.gate.weight") ? times(tensor, mlp.experts) : tensor
  );
  return { ...subjectOf(title, one, tensors), config };
}

function sized(config: ModelConfig, format: SubjectFormat): SizedTensor[] {
  return textInventory(config, format).map((t) => ({ ...t, byteLength: tensorBytes(t) }));
}

function times({ shape: [rows, ...rest], ...tensor }: SizedTensor, count: number): SizedTensor {
  return { ...tensor, shape: [rows! * count, ...rest], byteLength: tensor.byteLength * count };
}

function subjectOf(
  title: string,
  config: ModelConfig,
  tensors: Iterable<SizedTensor>,
): Subject {
  const { mlp } = config;
  const used = mlp.kind === "moe" ? mlp.topK / mlp.experts : 1;
  const kept: SizedTensor[] = [];
  let [activeWeights, experts] = [0, 0];
  for (const { name, dtype, shape, byteLength } of tensors) {
    if (/^(mtp|model\.visual)\./.test(name)) continue;
    const routed = name.includes(".mlp.experts.");
    const count = shape.reduce((product, length) => product * length, 1);
    if (!/(_scale_inv|embed_tokens\.weight|lm_head\.weight)$/.test(name)) {
      activeWeights += routed ? count * used : count;
    }
    // One expert tells how all are stored; a snapshot has 10,000 of them.
    if (!routed || experts++ < 6) kept.push({ name, dtype, shape, byteLength });
  }
  return { title, config, tensors: kept, activeWeights };
}
