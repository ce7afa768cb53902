import { assert, assertEquals } from "@std/assert";
import { createApp } from "../routes/app.ts";
import { OPTION_TABLE } from "../runtime/options.ts";
import { MockEngine } from "./mock_engine.ts";
import { OPTIONS } from "./routes/harness.ts";
import { MockText } from "./routes/mock_text.ts";

const ROOT = new URL("../", import.meta.url);
const readme = await Deno.readTextFile(new URL("README.md", ROOT));

Deno.test("README lists the options of serve with their defaults", () => {
  const rows = readme.split("\n").filter((line) => line.startsWith("| `--"));
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  const named = cells.flatMap(([, flags = ""]) =>
    [...flags.matchAll(/--([a-z-]+) ([A-Z]+)/g)].map(([, flag, value]) => `${flag} ${value}`)
  );
  assertEquals(named.toSorted(), OPTION_TABLE.map(({ flag, value }) => `${flag} ${value}`).sort());
  for (const { flag, fallback } of OPTION_TABLE) {
    const row = cells.find(([, flags]) => flags!.includes(`--${flag} `))!;
    assert(
      fallback === null || row[3]!.includes(fallback),
      `--${flag}: ${row[3]}, not ${fallback}`,
    );
  }
});

Deno.test("README asks for paths that the server has", async () => {
  const planner = { answer: () => Promise.reject(new Error("not asked here")) };
  const app = createApp(new MockEngine(), new MockText(), { ...OPTIONS, planner });
  const { paths } = await (await app.request("/openapi.json")).json();
  const asked = [...readme.matchAll(/127\.0\.0\.1:8080(\/[\w/-]+)/g)].map(([, path]) => path!);
  assert(asked.length >= 3);
  for (const path of asked.filter((path) => path !== "/v1")) assert(path in paths, path);
});

Deno.test("README names tasks, commands and folders that are there", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [, task] of readme.matchAll(/`deno task ([\w-]+)`/g)) assert(task! in tasks, task);
  const run = await Deno.readTextFile(new URL("deploy/run", ROOT));
  for (const [, command] of readme.matchAll(/deploy\/run ([\w-]+)/g)) {
    assert(run.includes(`\nrun_${command!.replaceAll("-", "_")}() {`), command);
  }
  const folders = [
    ...readme.matchAll(/`((?:routes|runtime|shaders|weights|tests|deploy)\/[\w/.]*)`/g),
  ];
  assert(folders.length >= 8);
  for (const [, path] of folders) await Deno.stat(new URL(path!, ROOT));
});
