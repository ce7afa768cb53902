import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type Finding, parseFinding } from "./finding.ts";
import { OptionError } from "../../runtime/command_line.ts";
import { WeightsError } from "../../weights/mod.ts";
import { runReport } from "./main.ts";
import { markdown } from "./markdown.ts";
import { parseReportOptions, type ReportOptions } from "./options.ts";
import { checkParts, partsOf } from "./parts.ts";
import { type PartResult, startPart } from "./run_part.ts";
import { layersFor } from "./snapshot.ts";

const TINY = new URL("../golden/parity/tiny_fp8", import.meta.url).pathname;
const OPTIONS = parseReportOptions(["--dir", "/nowhere"], "/tmp");

/** A part's process that runs `code` instead. */
async function started(code: string, seconds: number): Promise<PartResult> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(entry, code);
  const result = await startPart({ part: "x", options: OPTIONS, seconds, findings: [] }, entry);
  await Deno.remove(entry);
  return result;
}

const LINE = `{"section":"machine","name":"a","found":"b"}`;

Deno.test("startPart() keeps what a part told before its time was over", async () => {
  const code = `console.log('${LINE}'); await new Promise((go) => setTimeout(go, 60_000));`;
  const { status, findings, seconds } = await started(code, 3);
  assertMatch(status, /^stopped after \d+ s, its time was over$/);
  assertEquals(findings, [{ section: "machine", name: "a", found: "b" }]);
  assertEquals(seconds < 30, true);
});

Deno.test("startPart() says why a part failed, and forgives what happens after its end", async () => {
  const failed = await started(`console.error("Error: no such card"); Deno.exit(1);`, 60);
  assertEquals([failed.status, failed.findings], ["failed: no such card", []]);
  const killed = await started(`Deno.kill(Deno.pid, "SIGKILL");`, 60);
  assertEquals(killed.status, "failed: ended with SIGKILL");
  const late = await started(`console.log('${LINE}'); console.log("end"); Deno.exit(7);`, 60);
  assertEquals([late.status, late.findings.length], ["done", 1]);
});

Deno.test("parseFinding() takes findings and nothing else", () => {
  assertEquals(parseFinding(LINE)?.name, "a");
  for (const line of ["", "end", "{", "{}", `{"section":"toString"}`, "[1]"]) {
    assertEquals(parseFinding(line), null, line);
  }
});

Deno.test("partsOf() puts what is right before what is fast, and skips on what it needs", () => {
  const names = partsOf(OPTIONS).map(({ name }) => name);
  assertEquals(names, [
    "adapter",
    "kernels",
    "correctness",
    "limits",
    "paging",
    "submits",
    "snapshot",
    "resident",
    "transformers",
    "vram-24G",
    "vram-16G",
    "vram-12G",
    "vram-8G",
    "vram-16G-host",
    "vram-16G-paged",
    "cold",
  ]);
  const peer = partsOf({ ...OPTIONS, llamaBench: "/bin" }).map(({ name }) => name);
  assertEquals(peer.indexOf("peer"), names.indexOf("transformers") + 1);
  const { seconds } = OPTIONS;
  assertEquals(seconds <= 480, true);
  assertEquals(partsOf({ ...OPTIONS, only: ["limits"] }).map(({ name }) => name), ["limits"]);
});

Deno.test("runReport() names every part that finds no time", async () => {
  const lines: string[] = [];
  const results = await runReport({ ...OPTIONS, seconds: 1 }, (line) => lines.push(line));
  assertEquals(results.map(({ part }) => part), partsOf(OPTIONS).map(({ name }) => name));
  assertEquals(results[0]!.status, "skipped: no time left");
  assertEquals(results.every(({ status }) => status.startsWith("skipped: ")), true);
  assertEquals(lines.length, results.length);
});

Deno.test("layersFor() cuts the model to room and time, never below four layers", () => {
  const dir = Deno.makeTempDirSync();
  const of = (seconds: number, changes: Partial<ReportOptions> = {}) =>
    layersFor({ ...OPTIONS, dir, ...changes }, { rate: 1e9, seconds });
  assertEquals(of(1, { layers: 7 }).layers, 7);
  assertEquals(of(1, { vocab: 640 }), { layers: null, why: "" });
  assertEquals(of(0.1).layers, 4);
  const some = of(10);
  // 10 s at 1 GB/s with slack are 7.7 of 37.5 GB: 8 of 40 layers.
  assertEquals(some.layers === 8 || some.layers === 4, true);
  assertMatch(some.why, /of room for|the disk writes 1\.00 GB\/s/);
  Deno.removeSync(dir);
});

Deno.test("markdown() has a row a budget, the lines of every section, and what was left out", () => {
  const data = (name: string, data: Finding["data"]): Finding => ({
    section: "speed",
    name,
    found: "x | y",
    ...(data ? { data } : {}),
  });
  const findings = [
    data("8G: first token", { opened: 2, first: 1 }),
    data("8G: decode", { tokensPerSecond: 40, roofline: 0.5, hits: 0.9, slots: 29 }),
    data("8G: of what the link allows", { share: 0.75 }),
    data("8G: prompt of 1000", { tokens: 1000, seconds: 2 }),
    data("24G", undefined),
  ];
  const answer: Finding = { section: "questions", name: "(a) features", found: "some" };
  const parts = [
    { part: "adapter", status: "done", seconds: 1, findings: [answer] },
    { part: "limits", status: "failed: lost", seconds: 1, findings: [] },
    { part: "vram-8G", status: "done", seconds: 9, findings },
    { part: "cold", status: "failed: not root", seconds: 1, findings: [] },
  ];
  const text = markdown({ started: "today", command: "x", commit: "abc", seconds: 10, parts });
  assertMatch(text, /^\| 8G \| 29 \| 40\.0 \| 50 % \| 90 % \| 75 % \| 3\.00 s \| 500 \|$/m);
  assertMatch(text, /^- cold: failed: not root$/m);
  assertMatch(text, /^\| 24G \| x \\\| y \| {2}\|$/m);
  // Every question has a line, answered or not.
  assertEquals(text.match(/^\| \([a-i]\) .*$/gm)?.length, 9);
  assertMatch(text, /^\| \(a\) features \| some \| {2}\|$/m);
  assertMatch(text, /^\| \(b\) .* \| not answered: limits failed: lost \|/m);
  assertMatch(text, /^\| \(i\) .* \| not answered: submits not run \|/m);
});

Deno.test("parseReportOptions() says what is wrong", () => {
  const wrong = [
    ...[["--budgets", "lots"], ["--model", "toString"], ["--decode", "0"], ["--x"], ["--out"]],
    ...[["--kernels", "none"], ["--out", "/nowhere/report"]],
  ];
  for (const args of wrong) {
    assertThrows(() => parseReportOptions(args, "/tmp"), OptionError, "--");
  }
  const snapshot = ["--snapshot", "/nowhere"];
  assertThrows(() => parseReportOptions(snapshot, "/tmp"), WeightsError, "no such folder");
  const only = parseReportOptions(["--only", "adapter,nothing"], "/tmp");
  assertThrows(() => checkParts(only), OptionError, 'found "nothing", wanted some of adapter,');
});

Deno.test("the report runs from the adapter to a budget of a small snapshot", async () => {
  const options = parseReportOptions([
    ...["--snapshot", TINY, "--budgets", "5M", "--prompts", "20", "--decode", "4"],
    ...["--only", "adapter,kernels,snapshot,transformers,vram-5M", "--seconds", "4000"],
    ...["--python", "/nowhere/python3", "--kernels", "pairs-8x8"],
  ], "/tmp");
  const results = await runReport(options, () => {});
  assertEquals(results.map(({ part, status }) => [part, status]), [
    ["adapter", "done"],
    ["kernels", "done"],
    ["snapshot", "done"],
    ["transformers", "done"],
    ["vram-5M", "done"],
  ]);
  const found = results.flatMap(({ findings }) => findings);
  assertEquals(found.find(({ name }) => name === "kernels")!.data, { variant: "pairs-8x8" });
  const python = found.find(({ name }) => name.includes("real sizes"))!.found;
  assertMatch(python, /^skipped: \/nowhere\/python3 cannot be run/);
  const names = found.map(({ name }) => name);
  for (const name of ["adapter", "limits", "5M: first token", "5M: decode", "5M: prompt of 20"]) {
    assertEquals(names.includes(name), true, name);
  }
});
