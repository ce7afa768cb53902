import { assert, assertEquals } from "@std/assert";
import { measureLookahead, openNaive } from "./lookahead.ts";
import { loadOracleCase } from "./oracle_case.ts";

for (const name of ["tiny_fp8", "odd_fp8"] as const) {
  Deno.test(`looking ahead: no staleness reads 100 %, and more of it less, ${name}`, () => {
    const { dir, prompts } = loadOracleCase(name, 300);
    using model = openNaive(dir);
    const { recalls, chance, onDemand, guessing } = measureLookahead(model, prompts.at(-1)!.tokens);
    const [control, ...ahead] = recalls;
    assertEquals([control!.all, control!.missing], [1, 1]);
    let last = 1;
    for (const { all, missing } of ahead) {
      assert(all < last && all > 1.5 * chance, `${all} after ${last}, ${chance} by chance`);
      assert(Math.abs(all - missing) < 0.1, `${all} of all, ${missing} of the missing`);
      last = all;
    }
    assert(guessing.stops < onDemand.stops && guessing.loads > onDemand.loads);
  });
}
