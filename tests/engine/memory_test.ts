import { assert } from "@std/assert";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

const MODEL = new URL("../../weights/demo", import.meta.url).pathname;

Deno.test("memory of the process stands still while sequences are decoded together", async () => {
  const engine = await openTestEngine(MODEL, { stateCacheBytes: 0 });
  const both = (salt: number) =>
    Promise.all(
      [1, 2].map((n) =>
        complete(engine, greedy([7 * n, 40 + salt, 9], { maxTokens: 60, stopIds: [] }))
      ),
    );
  await both(0);
  const before = Deno.memoryUsage().rss;
  await both(1);
  await both(2);
  const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
  await engine.close();
  // A kernel of which a driver kept something for each workgroup took 1.5 MB a step here.
  assert(grown < 40, `${grown.toFixed()} MB more after 120 steps`);
});
