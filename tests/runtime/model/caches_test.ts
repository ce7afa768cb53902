import { assertEquals } from "@std/assert";
import { cacheSizes } from "../../../runtime/model/caches.ts";
import { parseConfig } from "../../../runtime/model/config.ts";
import { type KvFormat, PAGE_TOKENS } from "../../../runtime/model/parts.ts";
import { officialConfig } from "./official_config.ts";

Deno.test("cacheSizes() of the official model: bytes of a token's keys and values, and of a state", () => {
  const config = parseConfig(officialConfig());
  const full = config.layerKinds.filter((kind) => kind === "full").length;
  const token = (kv: KvFormat) => 2 * full * cacheSizes(config, kv).kvPage / PAGE_TOKENS;
  assertEquals([token("f32"), token("f16")], [40960, 20480]);
  const { stateSlot, convSlot } = cacheSizes(config, "f32");
  assertEquals([stateSlot, convSlot], [4 * 32 * 128 * 128, 4 * 4 * 8192]);
});
