import { assertEquals, assertThrows } from "@std/assert";
import { parseConfig } from "../../../runtime/model/config.ts";
import { inventory } from "../../../runtime/synth/inventory.ts";
import { MEMBERS } from "../../../runtime/synth/members.ts";
import { officialConfig } from "../model/official_config.ts";

const member = MEMBERS["35B-A3B"];

Deno.test("inventory() of 35B-A3B in FP8 has the publisher's tensors and bytes", () => {
  const { tensors, byteLength } = inventory({ member, format: "fp8" });
  assertEquals([tensors.length, byteLength], [64_196, 37_454_799_072]);
  const count = (pattern: RegExp) => tensors.filter(({ name }) => pattern.test(name)).length;
  assertEquals(count(/^mtp\./), 1560);
  assertEquals(count(/^model\.visual\./), 333);
  const dtypes = Map.groupBy(tensors, ({ dtype }) => dtype);
  assertEquals(dtypes.get("F32")!.length, 60);
  assertEquals(
    dtypes.get("F32")!.every(({ name }) => /linear_attn\.(A_log|norm\.)/.test(name)),
    true,
  );
  assertEquals(new Set(tensors.map(({ name }) => name)).size, tensors.length);
});

Deno.test("inventory() of 35B-A3B in BF16 fuses the experts", () => {
  const { tensors, byteLength } = inventory({ member, format: "bf16" });
  assertEquals([tensors.length, byteLength], [1045, 71_903_655_008]);
  const fused = tensors.find(({ name }) => name.endsWith("layers.7.mlp.experts.gate_up_proj"));
  assertEquals(fused?.shape, [256, 1024, 2048]);
});

Deno.test("inventory() makes the config that its publisher has", () => {
  const { config } = inventory({ member, format: "fp8" });
  const official = parseConfig(officialConfig());
  assertEquals(config, { ...official, synthetic: true, eosIds: config.eosIds });
});

Deno.test("inventory() of a cut member leaves out the image tower and the MTP layer", () => {
  const { tensors, config } = inventory({
    member,
    format: "fp8",
    layers: 4,
    experts: 8,
    vocab: 640,
  });
  assertEquals([config.layers, config.vocab, config.hasVision, config.mtpLayers], [
    4,
    640,
    false,
    0,
  ]);
  assertEquals(config.mlp.kind === "moe" && config.mlp.experts, 8);
  assertEquals(tensors.filter(({ name }) => /^(mtp|model\.visual)\./.test(name)), []);
  assertEquals(tensors.some(({ name }) => name.includes("layers.4.")), false);
});

Deno.test("inventory() lays an expert's matrices side by side", () => {
  const names = inventory({ member, format: "fp8", layers: 1 }).tensors.map(({ name }) => name);
  const at = names.indexOf("model.language_model.layers.0.mlp.experts.17.down_proj.weight");
  assertEquals(
    names.slice(at, at + 3).map((name) => name.split("experts.")[1]),
    ["17.down_proj.weight", "17.gate_proj.weight", "17.up_proj.weight"],
  );
});

Deno.test("inventory() lists every member in both formats", () => {
  for (const any of Object.values(MEMBERS)) {
    for (const format of ["fp8", "bf16"] as const) {
      const { config } = inventory({ member: any, format, layers: 4 });
      assertEquals(config.hidden, any.hidden);
    }
  }
  // 0.8 billion parameters are what its name says, MTP layer apart.
  const { byteLength } = inventory({ member: MEMBERS["0.8B"], format: "bf16", layers: 24 });
  assertEquals(Math.round(byteLength / 2 / 1e7) / 100, 0.75);
});

Deno.test("inventory() refuses a cut that keeps too much or too little", () => {
  const cut = (layers: number, experts: number) => () =>
    inventory({ member, format: "fp8", layers, experts });
  assertThrows(cut(41, 8), RangeError, "Cannot keep 41 layers: expected a whole number, 1 to 40");
  assertThrows(cut(4, 7), RangeError, "Cannot keep 7 experts: expected a whole number, 8 to 256");
  assertThrows(
    () => inventory({ member: MEMBERS["27B"], format: "fp8", experts: 8 }),
    RangeError,
    "a dense member has none",
  );
});
