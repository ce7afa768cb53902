/**
 * What makes routing sticky. Plain random weights send the next token to other experts altogether; a trained
 * router follows what the text is about, which changes slowly. Here the channels of the residual stream are split:
 *
 *     carrier | slow | fast
 *
 * The carrier is the same for every token and reaches the DeltaNet only: it holds a head's query, key, gate and
 * write strength still, so that the head's output is a running mean of the values of the last tokens. Mixers
 * alone write to the slow channels. Tokens live in the fast ones, where the MLP writes too. A router reads the
 * slow channels by the locality and the fast ones by the rest.
 *
 * FP8 codes stay as random as before: block scales, norms and a few small matrices do all of it.
 * @module
 */
import type { ModelConfig } from "../model/config.ts";
import { SCALE_BLOCK } from "../model/names.ts";
import { evens, normals } from "./pool.ts";

/** Weight of the other channels where the carrier should rule. */
const BESIDE = 0.15;
/** Logit of the write strength that the carrier gives a head: sigmoid(-2.5) = 0.08, a mean over a dozen tokens. */
const STRENGTH = -2.5;
/** How much more a mixer writes to the slow channels than to the fast ones. */
const SLOW_GAIN = 4;
/** Deviation of the logits of a router that reads channels of unit energy. */
const ROUTER_GAIN = 4;

/** The exceptions from plain random weights. */
export class Sticky {
  readonly #config: ModelConfig;
  readonly #locality: number;
  /** The first slow and the first fast channel. */
  readonly #slow = SCALE_BLOCK;
  readonly #fast: number;
  /** What every token has in a carrier channel: the carrier is half of an embedding's energy. */
  readonly #carrier: number;

  private constructor(config: ModelConfig, locality: number) {
    this.#config = config;
    this.#locality = locality;
    this.#fast = Math.floor(config.hidden / SCALE_BLOCK / 2) * SCALE_BLOCK;
    this.#carrier = Math.sqrt(config.hidden / SCALE_BLOCK);
  }

  /** Null where there is nothing to route, or the stream is too narrow to be split. */
  static of(config: ModelConfig, locality: number): Sticky | null {
    const fits = config.mlp.kind === "moe" && config.hidden >= 4 * SCALE_BLOCK;
    return fits ? new Sticky(config, locality) : null;
  }

  /** Mean and deviation of every channel of an embedding. */
  embedding(): { readonly mean: Float32Array; readonly std: Float32Array } {
    const { hidden } = this.#config;
    const std = Math.sqrt(hidden / (hidden - this.#fast));
    return {
      mean: Float32Array.from({ length: hidden }, (_, i) => i < this.#slow ? this.#carrier : 0),
      std: Float32Array.from({ length: hidden }, (_, i) => i < this.#fast ? 0 : std),
    };
  }

  /** Factor on the scale of block (`row`, `column`) of the FP8 matrix `name`. */
  factor(name: string, row: number, column: number): number {
    const carrier = column * SCALE_BLOCK < this.#slow;
    const { keyHeads, keyDim } = this.#config.delta;
    if (name.endsWith("in_proj_qkv.weight") && row * SCALE_BLOCK >= 2 * keyHeads * keyDim) {
      return carrier ? 0 : 1;
    }
    if (/in_proj_(qkv|z)\.weight$/.test(name)) return carrier ? 1 : BESIDE;
    if (/self_attn\.[qkv]_proj\.weight$/.test(name)) return carrier ? 0 : 1;
    if (name.endsWith("out_proj.weight")) return this.#deltaGain(row * SCALE_BLOCK);
    if (/(o_proj|down_proj)\.weight$/.test(name)) return row * SCALE_BLOCK < this.#fast ? 0 : 1;
    return 1;
  }

  #deltaGain(channel: number): number {
    if (channel < this.#slow) return 0;
    return channel < this.#fast ? SLOW_GAIN : 1;
  }

  /** The numbers of a small tensor that is not plainly random; undefined for one that is. */
  values(name: string, count: number, salt: number): Float32Array | undefined {
    const { hidden, delta } = this.#config;
    const channel = (i: number) => i % hidden;
    if (/(post_attention_layernorm|language_model\.norm)\.weight$/.test(name)) {
      // -1 is a weight of zero: the carrier is not for the MLP, the router and the head.
      return normals(count, salt, 0, 0.1).map((w, i) => i < this.#slow ? -1 : w);
    }
    if (name.endsWith("mlp.gate.weight")) {
      const [slow, fast] = [this.#locality, 1 - this.#locality];
      return normals(count, salt, 0, ROUTER_GAIN / Math.sqrt(hidden))
        .map((w, i) => w * (channel(i) < this.#fast ? slow : fast));
    }
    if (name.endsWith("in_proj_b.weight")) {
      const mean = STRENGTH / (this.#slow * this.#carrier);
      return normals(count, salt, 0, 0.5 / Math.sqrt(hidden))
        .map((w, i) => channel(i) < this.#slow ? w + mean : w);
    }
    if (name.endsWith("conv1d.weight")) {
      // Values pass SiLU where it is nearly a line, else its mean would be most of what a head remembers.
      const values = 2 * delta.keyHeads * delta.keyDim * delta.convKernel;
      return normals(count, salt, 0, 0.7).map((w, i) => i < values ? w : w / 7);
    }
    if (name.endsWith("A_log")) return evens(count, salt, -6, -2);
    return undefined;
  }
}
