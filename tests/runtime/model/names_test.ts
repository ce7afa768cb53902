import { assertEquals } from "@std/assert";
import { parseConfig } from "../../../runtime/model/config.ts";
import { expectedTensors, headName, textPrefix } from "../../../runtime/model/names.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { loadOracleCase, ORACLE_CASES } from "../../oracle_case.ts";
import { officialConfig } from "./official_config.ts";

const BYTES: Readonly<Record<string, number>> = { BF16: 2, F32: 4, F8_E4M3: 1 };

/** A snapshot in the official FP8 layout: everything that may be FP8 is, the rest is BF16 or F32. */
function officialDtype(name: string): string | undefined {
  if (name.startsWith("model.embed_tokens")) return undefined;
  if (name.endsWith("gate_up_proj")) return undefined;
  if (/(A_log|linear_attn\.norm\.weight)$/.test(name)) return "F32";
  return "F8_E4M3";
}

function byteTotal(rules: ReturnType<typeof expectedTensors>): number {
  return [...rules].reduce((sum, [name, rule]) => {
    const only = /(A_log|linear_attn\.norm\.weight)$/.test(name) ? "F32" : rule.dtypes[0] ?? "";
    return sum + rule.shape.reduce((a, b) => a * b, 1) * (BYTES[only] ?? NaN);
  }, 0);
}

Deno.test("expectedTensors() adds up to the official FP8 text model to the byte", () => {
  const rules = expectedTensors(parseConfig(officialConfig()), officialDtype);
  assertEquals(rules.size, 62_303);
  assertEquals(byteTotal(rules), 35_707_988_096);
});

Deno.test("expectedTensors() names fused BF16 experts where the snapshot has them", () => {
  const config = parseConfig(officialConfig());
  const rules = expectedTensors(config, () => "BF16");
  const at = "model.layers.39.mlp.experts.";
  assertEquals(rules.get(`${at}gate_up_proj`)?.shape, [256, 1024, 2048]);
  assertEquals(rules.get(`${at}down_proj`)?.shape, [256, 2048, 512]);
  assertEquals([...rules.keys()].filter((name) => name.includes("experts.0.")), []);
});

Deno.test("expectedTensors() lets a scale sibling decide which matrix is FP8", () => {
  const scaled = "model.language_model.layers.3.self_attn.k_proj.weight";
  const rules = expectedTensors(
    parseConfig(officialConfig()),
    (name) => name === `${scaled}_scale_inv` ? "BF16" : undefined,
  );
  assertEquals(rules.get(scaled), { shape: [512, 2048], dtypes: ["F8_E4M3"] });
  assertEquals(rules.get(`${scaled}_scale_inv`), { shape: [4, 16], dtypes: ["BF16"] });
  const plain = scaled.replace("k_proj", "v_proj");
  assertEquals(rules.get(plain), { shape: [512, 2048], dtypes: ["BF16"] });
  assertEquals(rules.has(`${plain}_scale_inv`), false);
});

Deno.test("headName() is the embedding table for tied models, and prefixes follow the snapshot", () => {
  const tied = parseConfig(officialConfig({ tie_word_embeddings: true }));
  assertEquals(headName(tied, "model."), "model.embed_tokens.weight");
  assertEquals(expectedTensors(tied, () => undefined).has("lm_head.weight"), false);
  assertEquals(textPrefix(() => undefined), "model.language_model.");
  assertEquals(
    textPrefix((name) => name === "model.embed_tokens.weight" ? "BF16" : undefined),
    "model.",
  );
});

Deno.test("expectedTensors() fits every snapshot that transformers has read", () => {
  for (const name of ORACLE_CASES) {
    const { dir } = loadOracleCase(name, 0);
    const config = parseConfig(JSON.parse(Deno.readTextFileSync(`${dir}/config.json`)));
    const snapshot = openSnapshot(dir, { source: "pread" });
    const rules = expectedTensors(
      config,
      (tensor) => snapshot.has(tensor) ? snapshot.tensor(tensor).dtype : undefined,
    );
    for (const [tensor, rule] of rules) {
      const { shape, dtype } = snapshot.tensor(tensor);
      assertEquals(shape, rule.shape, `${name}: ${tensor}`);
      assertEquals(rule.dtypes.includes(dtype), true, `${name}: ${tensor} is ${dtype}`);
    }
    const skipped = [...snapshot.names()].filter((tensor) => !rules.has(tensor));
    assertEquals(skipped.filter((tensor) => !/^(mtp|model\.visual)\./.test(tensor)), []);
    snapshot.close();
  }
});
