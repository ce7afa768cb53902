import { assert, assertEquals } from "@std/assert";
import { openSnapshot } from "../../weights/mod.ts";

const DEMO = `${import.meta.dirname}/../../weights/demo`;
const MOST_BYTES = 12e6;
const FILES = [
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "video_preprocessor_config.json",
];

/** The table of the README: skill -> shares of 1, null where nothing is asked. */
function figures(readme: string): Map<string, { exact: number; floor: number | null }> {
  const share = (cell: string) => cell.endsWith("%") ? parseFloat(cell) / 100 : null;
  const [, table = ""] = readme.split("| skill | exact match | aim | floor |");
  const rows = table.split("\n\n")[0]!.split("\n").slice(2).map((row) =>
    row.split("|").map((x) => x.trim())
  );
  return new Map(
    rows.map((
      [, name, exact, , floor],
    ) => [name!, { exact: share(exact!)!, floor: share(floor!) }]),
  );
}

Deno.test("the demo snapshot is whole, of at most 12 MB, and every matrix fits the scale blocks", () => {
  const sizes = [...Deno.readDirSync(DEMO)].filter(({ isFile }) => isFile)
    .map(({ name }) => [name, Deno.statSync(`${DEMO}/${name}`).size] as const);
  for (const file of FILES) assert(sizes.some(([name, size]) => name === file && size > 0), file);
  assert(sizes.filter(([name]) => name.endsWith(".safetensors")).length >= 2);
  assert(sizes.reduce((sum, [, size]) => sum + size, 0) <= MOST_BYTES);
  const snapshot = openSnapshot(DEMO);
  assertEquals(snapshot.warnings, []);
  const names = [...snapshot.names()];
  for (const part of ["mtp.", "model.visual.", "model.language_model.", "lm_head."]) {
    assert(names.some((name) => name.startsWith(part)), part);
  }
  for (const name of names.filter((name) => snapshot.has(`${name}_scale_inv`))) {
    const { shape } = snapshot.tensor(name);
    assert(shape.every((side) => side <= 128 || side % 128 === 0), `${name}: ${shape}`);
  }
  snapshot.close();
});

Deno.test("the demo's README has a figure for every skill and names those under their floor", () => {
  const readme = Deno.readTextFileSync(`${DEMO}/README.md`);
  const [, listed = ""] = Deno.readTextFileSync(`${DEMO}/recipe/evaluate.py`).split("SKILLS = {");
  const skills = [...listed.split("\n}")[0]!.matchAll(/"\w+": "([^"]+)"/g)].map(([, name]) =>
    name!
  );
  const table = figures(readme);
  assertEquals([...table.keys()].sort(), skills.toSorted());
  const [, confession = ""] = readme.replaceAll("\n", " ").split("Under their floor: ");
  const named = confession.split(".")[0]!;
  for (const [name, { exact, floor }] of table) {
    assertEquals(named.includes(name), floor !== null && exact < floor, name);
  }
});
