/**
 * How keys and values are stored, as values: the attention kernels are specialised by one. A new format is one more
 * value and its snippet.
 * @module
 */
import f16 from "./kv_f16.wgsl" with { type: "text" };
import f32 from "./kv_f32.wgsl" with { type: "text" };

/** The formats of the KV cache that have kernels. */
export type KvFormat = "f32" | "f16";

/** One format of keys and values. */
export interface KvElements {
  readonly elementBytes: number;
  /** WGSL: `KvOctet`, `KvQuad` (8 and 4 neighbours of a head as stored), `kv_low()`, `kv_high()`, `kv_load()`, `kv_store()`. */
  readonly snippet: string;
}

/** Every format by name. */
export const KV_FORMATS: Readonly<Record<KvFormat, KvElements>> = {
  f32: { elementBytes: 4, snippet: f32 },
  f16: { elementBytes: 2, snippet: f16 },
};
