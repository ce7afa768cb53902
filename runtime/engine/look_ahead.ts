/** Opens what looks ahead to the experts of later layers: the routers as the host runs them. @module */
import { foldRouter, Lookahead } from "../experts/lookahead.ts";
import type { ExpertPager } from "../experts/pager.ts";
import { ReadAhead } from "../experts/read_ahead.ts";
import { layerPrefix } from "../model/names.ts";
import { decode, type FloatDtype } from "../../weights/mod.ts";
import type { ExpertSource } from "./expert_build.ts";
import type { Site } from "./site.ts";

/**
 * Reads the routers, or returns null where nothing is to be read ahead: by option, or because the system cannot be
 * told. `onBytes` is told what was read.
 * @throws {WeightsError} if a router cannot be read
 */
export async function openReadAhead(
  { options, config, snapshot, prefix }: Site,
  { mlp: { topK }, reader }: ExpertSource,
  pager: ExpertPager,
  onBytes: (bytes: number) => void,
): Promise<ReadAhead | null> {
  const { lookAhead: mode } = options;
  if (mode === "off" || !snapshot.canHint) return null;
  return new ReadAhead({
    lookahead: await loadLookahead({ config, snapshot, prefix }, topK, onBytes),
    hidden: config.hidden,
    isResident: (layer, expert) => pager.isResident(layer, [expert]),
    hint: (layer, expert) => reader.willNeed(layer, expert) ? reader.layout.byteLength : 0,
    load: (layer, expert) => pager.loadAhead(layer, expert),
    mode,
  });
}

/**
 * Every layer's router with the norm before it, as f32 in RAM.
 * @throws {WeightsError} if one of them cannot be read
 */
export async function loadLookahead(
  { config, snapshot, prefix }: Pick<Site, "config" | "snapshot" | "prefix">,
  topK: number,
  onBytes: (bytes: number) => void,
): Promise<Lookahead> {
  const values = async (name: string) => {
    const tensor = snapshot.tensor(name);
    onBytes(tensor.byteLength);
    return decode(await tensor.read(), tensor.dtype as FloatDtype);
  };
  const routers = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const at = layerPrefix(prefix, layer);
    const router = await values(`${at}mlp.gate.weight`);
    routers.push(foldRouter(router, await values(`${at}post_attention_layernorm.weight`)));
  }
  return new Lookahead(routers, topK);
}
