import { assertEquals } from "@std/assert";
import { countDispatches } from "../../../runtime/forecast/blueprint.ts";
import { snapshotSubject } from "../../../runtime/forecast/subject.ts";
import type { OpenedEngine, OpenHooks } from "../../../runtime/open.ts";
import type { EngineOptions } from "../../../runtime/options.ts";
import { readSnapshotConfig } from "../../../runtime/snapshot.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { complete, greedy, openTestEngine, TEST_OPTIONS } from "../../engine_fixture.ts";

const GOLDEN = `${import.meta.dirname}/../../golden/parity`;
const CONTEXT = 128;
const PROMPT = 40;

/** A snapshot, the largest binding, and what differs from the tests' options. */
const CASES: readonly (readonly [string, number, Partial<EngineOptions>])[] = [
  ["tiny_fp8", 2 ** 27, {}],
  ["tiny_fp8", 32 * 1024, {}],
  ["tiny_fp8", 2 ** 27, { runAhead: 4 }],
  ["tiny_fp8", 2 ** 27, { residency: "host", vram: "4400K" }],
  ["fused_bf16", 2 ** 27, { head: "int8" }],
  ["dense_tied_bf16", 2 ** 27, { runAhead: 3 }],
];

for (const [name, maxBinding, options] of CASES) {
  const title = `${name}, bindings of ${maxBinding}, ${JSON.stringify(options)}`;
  Deno.test(`countDispatches() counts as the engine does: ${title}`, async () => {
    const all = { ...TEST_OPTIONS, context: CONTEXT, ...options };
    const engine = await openTestEngine(`${GOLDEN}/${name}`, all, { maxBinding } as OpenHooks);
    try {
      await engine.runner.pager?.loadAll();
      const fills = options.residency === "host";
      const runAhead = options.runAhead ?? 1;
      const snapshot = openSnapshot(`${GOLDEN}/${name}`);
      const tensors = [...snapshot.names()].map((tensor) => snapshot.tensor(tensor));
      snapshot.close();
      const { config } = readSnapshotConfig(`${GOLDEN}/${name}`);
      const { plan, chunkRows } = engine.runner;
      const counts = countDispatches({
        subject: snapshotSubject(name, config, tensors),
        choice: { ...all, chunkRows, maxBinding },
        plan,
        ...{ fills, ahead: runAhead > 1 },
        paper: { software: true, maxBinding },
      });
      const shape = (rows: number, segments: number) => ({
        ...{ rows, segments, headRows: segments },
        maxContext: CONTEXT,
      });
      const one = await decodeDispatches(engine, 1, runAhead);
      assertEquals(one, counts.step(shape(1, 1)) - (runAhead > 1 ? 1 / runAhead : 0), "one row");
      if (runAhead > 1) return;
      assertEquals(await decodeDispatches(engine, 4, 1), counts.step(shape(4, 4)), "four rows");
      const rows = Math.min(PROMPT, chunkRows);
      assertEquals(await prefillDispatches(engine, rows), counts.step(shape(rows, 1)), "a prompt");
    } finally {
      await engine.close();
    }
  });
}

/** Dispatches of a step while all sequences decode. */
async function decodeDispatches(
  engine: OpenedEngine,
  sequences: number,
  runAhead: number,
): Promise<number> {
  const batches = 6;
  const seen: Readonly<Record<string, number>>[] = [];
  const note = () => seen.push(engine.counters().values);
  // One token comes of the prompt.
  const request = (first: number) => greedy([first], { maxTokens: 1 + batches * runAhead });
  await Promise.all(
    Array.from(
      { length: sequences },
      (_, i) => complete(engine, request(1 + i), ({ type }) => type === "token" && note()),
    ),
  );
  const [from, to] = [seen.at(-2 * sequences * runAhead - 1)!, seen.at(-1 - sequences * runAhead)!];
  return (to.dispatches! - from.dispatches!) / runAhead;
}

/** Dispatches of a prompt and its first token. */
async function prefillDispatches(engine: OpenedEngine, rows: number): Promise<number> {
  const before = engine.counters().values.dispatches!;
  await complete(engine, greedy(Array.from({ length: rows }, (_, i) => i + 1), { maxTokens: 1 }));
  return engine.counters().values.dispatches! - before;
}
