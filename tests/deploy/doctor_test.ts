import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { checkModel, DENO_VERSION, examine, modelFolder, report } from "../../deploy/doctor.ts";

Deno.test("report() says what is wrong and how to mend it", () => {
  const text = report([
    { level: "ok", what: "Deno", found: "here", mend: "not shown" },
    { level: "note", what: "GPU", found: "slow", mend: "buy one" },
    { level: "bad", what: "Model", found: "gone", mend: "fetch it" },
  ]);
  assertEquals(text.split("\n").map((line) => line.trim().replaceAll(/ +/g, " ")), [
    "ok Deno here",
    "note GPU slow",
    "mend: buy one",
    "BAD Model gone",
    "mend: fetch it",
    "",
    "Cannot serve: 1 to mend",
  ]);
  assertStringIncludes(report([{ level: "note", what: "a", found: "b" }]), "Ready to serve");
});

Deno.test("examine() finds a missing model, and looks at everything else all the same", async () => {
  const findings = await examine("/nonexistent");
  const model = findings.find(({ what }) => what === "Model");
  assertEquals([model?.level, model?.found.includes("/nonexistent")], ["bad", true]);
  for (const { what, level, mend } of findings) {
    assert(level !== "bad" || mend, `${what}: no advice`);
  }
  const looked = findings.map(({ what }) => what);
  for (const what of ["Deno", "GPU", "Limits", "Features", "Computing", "FFI", "RAM"]) {
    assert(looked.includes(what), `${what} was not looked at: ${looked}`);
  }
  // To put a tokenizer into a folder that is not there was once the advice.
  assertEquals(looked.includes("Text"), false);
});

Deno.test("checkModel() accepts a sound snapshot", async () => {
  const folder = new URL("../golden/parity/tiny_fp8", import.meta.url).pathname;
  const { findings } = await checkModel(folder);
  const model = findings.find(({ what }) => what === "Model");
  assertEquals(model?.level, "ok", model?.found);
  assertStringIncludes(model?.found ?? "", "million parameters");
  const text = findings.find(({ what }) => what === "Text");
  assertEquals([text?.level, text?.found.split(":")[0]], ["note", "no tokenizer.json"]);
});

Deno.test("modelFolder() reads the flag, its twin, then takes the demo", () => {
  const env = (name: string) => name === "DELTAPAGE_MODEL" ? "/e" : undefined;
  assertEquals(modelFolder(["--model", "/m"], env), "/m");
  assertEquals(modelFolder(["--model=/m"], env), "/m");
  assertThrows(() => modelFolder(["--modle", "/m"], env), TypeError, "--modle");
  assertEquals(modelFolder([], env), "/e");
  assert(modelFolder([], () => undefined).endsWith("/weights/demo"));
});

Deno.test("the doctor and the bootstrap want the same Deno", async () => {
  const script = await Deno.readTextFile(new URL("../../deploy/run", import.meta.url));
  assertStringIncludes(script, `deno_version=${DENO_VERSION}\n`);
});
