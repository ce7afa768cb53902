import { assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../../runtime/options.ts";
import { parseReplayOptions } from "../../../runtime/replay/options.ts";

Deno.test("parseReplayOptions() generates a trace unless files are given", () => {
  const request = parseReplayOptions([], "demo");
  assertEquals(request.command === "curves" && request.synthetic?.experts, 256);
  assertEquals(request.command === "curves" && request.residencies.length, 20);
  assertEquals(
    parseReplayOptions(
      ["--trace", "a", "--trace", "b", "--policies", "lru,optimal", "--residency", "25,50"],
      "demo",
    ),
    {
      command: "curves",
      files: ["a", "b"],
      synthetic: null,
      policies: ["lru", "optimal"],
      residencies: [0.25, 0.5],
      json: false,
    },
  );
});

Deno.test("parseReplayOptions() hands the engine's flags to the engine", () => {
  const request = parseReplayOptions(
    ["record", "--prompts", "p", "--out", "o", "--vram", "1G", "--chunk", "16"],
    "demo",
  );
  if (request.command !== "record") throw new TypeError("it is a recording");
  const { engine, ...rest } = request;
  assertEquals(rest, { command: "record", promptFile: "p", out: "o", maxTokens: 64, seed: 1 });
  assertEquals([engine.model, engine.vram, engine.chunkRows], ["demo", "1G", 16]);
});

Deno.test("parseReplayOptions() names the flag that is wrong", () => {
  const wrong: readonly (readonly [string[], string])[] = [
    [["--policies", "fifo"], 'Cannot read --policies: found "fifo", wanted lru, lfu'],
    [["--residency", "5,101"], 'Cannot read --residency: found "101"'],
    [["--sticky", "2"], "Cannot read --sticky"],
    [["--experts", "4", "--top-k", "8"], "Cannot read --top-k"],
    [["--steps", "1.5"], "wanted a whole number"],
    [["--unknown"], "--unknown"],
    [["record", "--out", "o"], "Cannot read --prompts: found nothing"],
    [["record", "--prompts", "p"], "Cannot read --out: found nothing"],
    [["record", "--prompts", "p", "--out", "o", "--chunk", "0"], "Cannot read --chunk"],
  ];
  for (const [args, message] of wrong) {
    assertThrows(() => parseReplayOptions(args, "demo"), OptionError, message);
  }
});
