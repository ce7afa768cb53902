import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  exitCode,
  OptionError,
  outputFile,
  readFlags,
  wholeNumber,
} from "../../runtime/command_line.ts";

const OPTIONS = { runs: { type: "string" }, json: { type: "boolean" } } as const;

Deno.test("readFlags() gives what was said, and says in one line what is wrong", () => {
  const { values } = readFlags({ args: ["--runs", "3", "--json"], options: OPTIONS });
  assertEquals([values.runs, values.json], ["3", true]);
  const wrong = [["--wrong"], ["--runs"], ["more"], ["--json=1"]];
  for (const args of wrong) {
    const { message } = assertThrows(() => readFlags({ args, options: OPTIONS }), OptionError);
    assertEquals(
      /^Cannot read the options: [^\n]+; --help lists them$/.test(message),
      true,
      message,
    );
  }
});

Deno.test("wholeNumber() holds the bounds", () => {
  const bounds = { least: 1, most: 16 };
  assertEquals(["1", "16"].map((text) => wholeNumber("n", text, bounds)), [1, 16]);
  for (const text of ["0", "17", "1.5", "", " ", "two", "NaN"]) {
    assertThrows(
      () => wholeNumber("n", text, bounds),
      OptionError,
      `Cannot read --n: found "${text}", wanted a whole number from 1 to 16`,
    );
  }
});

Deno.test("outputFile() refuses before the work what could not be written after it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assertEquals(outputFile("json", `${folder}/x.json`), `${folder}/x.json`);
    assertEquals(outputFile("json", "x.json"), "x.json");
    assertThrows(
      () => outputFile("json", `${folder}/none/x.json`),
      OptionError,
      `Cannot write --json "${folder}/none/x.json": found no folder "${folder}/none"`,
    );
    assertThrows(() => outputFile("json", folder), OptionError, "found a folder");
  } finally {
    await Deno.remove(folder);
  }
});

Deno.test("exitCode() is the command's own, 2 with a line for what the caller can mend", async () => {
  const said: string[] = [];
  const say = (line: string) => void said.push(line);
  const fails = (error: Error) => () => {
    throw error;
  };
  assertEquals([await exitCode(() => {}), await exitCode(() => Promise.resolve(1))], [0, 1]);
  assertEquals(await exitCode(fails(new OptionError("Cannot read --x")), { say }), 2);
  assertEquals(await exitCode(fails(new RangeError("too far")), { say, also: [RangeError] }), 2);
  assertEquals(said, ["Cannot read --x", "too far"]);
  await assertRejects(() => exitCode(fails(new RangeError("too far")), { say }), RangeError);
  await assertRejects(() => exitCode(fails(new Error("a fault of ours")), { say }), Error, "ours");
});

const TOOLS = [
  "runtime/forecast/main.ts",
  "runtime/replay/main.ts",
  "runtime/synth/main.ts",
  "tests/bench/main.ts",
  "tests/bench/peer/main.ts",
  "tests/full_size/main.ts",
  "tests/gpu_report/main.ts",
];

Deno.test("every tool ends with code 2 and one line for a flag that it does not know", async () => {
  const root = new URL("../../", import.meta.url).pathname;
  for (const tool of TOOLS) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--cached-only", "-A", root + tool, "--wrong"],
      stdout: "null",
    }).output();
    const lines = new TextDecoder().decode(stderr).split("\n")
      .filter((line) => line !== "" && !line.includes("XDG_"));
    assertEquals([tool, code, lines], [tool, 2, [
      "Cannot read the options: Unknown option '--wrong'; --help lists them",
    ]]);
  }
});
