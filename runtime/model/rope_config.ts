/** The rotary embedding in config.json: its fields, and YaRN's defaults. @module */
import type { Fields } from "./fields.ts";

/** Rotary position embedding. */
export interface RopeConfig {
  readonly theta: number;
  /** Frequencies of the time, height and width axes, interleaved. */
  readonly mropeSection: readonly [number, number, number];
  readonly scaling: RopeScaling;
}

/** How frequencies are stretched for long contexts. */
export type RopeScaling =
  | { readonly type: "default" }
  | {
    readonly type: "yarn";
    readonly factor: number;
    readonly originalMax: number;
    readonly betaFast: number;
    readonly betaSlow: number;
    /** Multiplies cos and sin. */
    readonly attentionFactor: number;
    /** Whether the ramp's ends are rounded outwards to whole frequencies. */
    readonly truncate: boolean;
  };

/** The object that holds the rotary embedding's fields. Newer files nest everything in `rope_parameters`; older ones call the same object `rope_scaling`. */
export function ropeFields(text: Fields): Fields {
  return text.child(
    !text.has("rope_parameters") && text.has("rope_scaling") ? "rope_scaling" : "rope_parameters",
  );
}

/**
 * Reads the rotary embedding of a text model.
 * @throws {ConfigError} on a missing or unsupported field.
 */
export function parseRope(text: Fields): RopeConfig {
  const rope = ropeFields(text);
  const section = rope.has("mrope_section") ? rope.integers("mrope_section") : [11, 11, 10];
  const [time, height, width] = section;
  if (time === undefined || height === undefined || width === undefined || section.length !== 3) {
    throw rope.error("mrope_section", "three whole numbers");
  }
  rope.must("mrope_interleaved", true);
  return Object.freeze({
    theta: (rope.has("rope_theta") || !text.has("rope_theta") ? rope : text)
      .number("rope_theta", { above: 1 }),
    mropeSection: Object.freeze([time, height, width] as const),
    scaling: parseScaling(text, rope),
  });
}

/** Defaults and formulas as in Peng et al., "YaRN", arXiv:2309.00071. */
function parseScaling(text: Fields, rope: Fields): RopeScaling {
  const type = rope.choice("rope_type", ["default", "yarn"], "default");
  if (type === "default") return Object.freeze({ type });
  const originalMax = rope.integer("original_max_position_embeddings");
  const factor = rope.number("factor", {
    above: 0,
    fallback: text.integer("max_position_embeddings") / originalMax,
  });
  const mscale = (scale: number, by: number) => scale <= 1 ? 1 : 0.1 * by * Math.log(scale) + 1;
  const over = rope.has("mscale") && rope.has("mscale_all_dim");
  const attentionFactor = over
    ? mscale(factor, rope.number("mscale")) / mscale(factor, rope.number("mscale_all_dim"))
    : mscale(factor, 1);
  return Object.freeze({
    type,
    factor,
    originalMax,
    betaFast: rope.number("beta_fast", { above: 0, fallback: 32 }),
    betaSlow: rope.number("beta_slow", { above: 0, fallback: 1 }),
    attentionFactor: rope.number("attention_factor", { above: 0, fallback: attentionFactor }),
    truncate: rope.flag("truncate", true),
  });
}
