import { assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { parseConfig } from "../../../runtime/model/config.ts";
import {
  emptyState,
  naiveForward,
  type NaiveModel,
  type NaiveState,
} from "../../../runtime/model/naive.ts";
import { NaiveWeights } from "../../../runtime/model/naive_weights.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { loadOracleCase, type ORACLE_CASES } from "../../oracle_case.ts";

const TOKENS = Array.from({ length: 21 }, (_, i) => (i * 37 + 11) % 199);

function withModel(
  name: typeof ORACLE_CASES[number],
  use: (model: NaiveModel, fresh: () => NaiveState) => void,
): void {
  const { dir } = loadOracleCase(name, 0);
  const config = parseConfig(JSON.parse(Deno.readTextFileSync(`${dir}/config.json`)));
  const snapshot = openSnapshot(dir, { source: "pread" });
  try {
    use({ config, weights: new NaiveWeights(snapshot) }, () => emptyState(config));
  } finally {
    snapshot.close();
  }
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  assertEquals(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

Deno.test("naiveForward() gives the same logits wherever a prompt is split", () => {
  for (const name of ["tiny_fp8", "odd_fp8", "dense_yarn_fp8"] as const) {
    withModel(name, (model, fresh) => {
      const whole = naiveForward(model, TOKENS, fresh());
      for (const cut of [1, 2, 3, 10, 20]) {
        const state = fresh();
        const first = naiveForward(model, TOKENS.slice(0, cut), state);
        const second = naiveForward(model, TOKENS.slice(cut), state);
        assertLess(largestDifference(whole, new Float64Array([...first, ...second])), 1e-9, name);
        assertEquals(state.tokens, TOKENS.length);
      }
    });
  }
});

Deno.test("naiveForward() one token at a time equals the whole prompt", () => {
  withModel("fused_bf16", (model, fresh) => {
    const state = fresh();
    const rows = TOKENS.flatMap((token) => [...naiveForward(model, [token], state)]);
    const whole = naiveForward(model, TOKENS, fresh());
    assertLess(largestDifference(whole, new Float64Array(rows)), 1e-9);
  });
});

Deno.test("naiveForward() looks at no later token", () => {
  withModel("tiny_fp8", (model, fresh) => {
    const { vocab } = model.config;
    const changed = TOKENS.with(12, 3);
    const a = naiveForward(model, TOKENS, fresh());
    const b = naiveForward(model, changed, fresh());
    assertEquals(a.slice(0, 12 * vocab), b.slice(0, 12 * vocab));
    assertNotEquals(a.slice(12 * vocab, 13 * vocab), b.slice(12 * vocab, 13 * vocab));
    assertNotEquals(a.slice(-vocab), b.slice(-vocab));
  });
});

Deno.test("naiveForward() turns each frequency by its own axis", () => {
  withModel("tiny_fp8", (model, fresh) => {
    const along = (axes: readonly [number, number, number]) =>
      naiveForward(
        model,
        TOKENS,
        fresh(),
        TOKENS.map((_, i) => [i * axes[0], i * axes[1], i * axes[2]] as const),
      );
    const text = naiveForward(model, TOKENS, fresh());
    assertEquals(along([1, 1, 1]), text);
    for (const axes of [[0, 1, 1], [1, 0, 1], [1, 1, 0]] as const) {
      assertNotEquals(along(axes), text);
    }
  });
});

Deno.test("naiveForward() sees distances between positions, not positions", () => {
  withModel("dense_yarn_fp8", (model, fresh) => {
    const shifted = TOKENS.map((_, i) => [i + 500, i + 500, i + 500] as const);
    const moved = naiveForward(model, TOKENS, fresh(), shifted);
    assertLess(largestDifference(moved, naiveForward(model, TOKENS, fresh())), 1e-9);
  });
});
