import { assertEquals, assertThrows } from "@std/assert";
import { dequantizeBf16, numberToBf16 } from "../../shaders/common/bf16.ts";
import { embed, embedGrid } from "../../shaders/embed/embed.ts";
import { embedNaive } from "../../shaders/embed/naive.ts";
import { gatherRows, gatherRowsGrid } from "../../shaders/gather_rows/gather_rows.ts";
import { gatherRowsNaive } from "../../shaders/gather_rows/naive.ts";
import { swigluNaive } from "../../shaders/swiglu/naive.ts";
import { swiglu, swigluGrid } from "../../shaders/swiglu/swiglu.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { integers, pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { words } from "./weights.ts";

const shape = (rows: number, headRows = 0) => ({ rows, headRows, segments: 1, maxContext: 0 });

for (const [rows, width] of [[1, 4], [3, 60], [2, 256], [5, 260], [2, 2048]] as const) {
  Deno.test(`embed() takes rows of ${width} from two parts of a table`, async () => {
    const vocab = 11;
    const halves = Uint16Array.from(pattern(vocab * width, 1), numberToBf16);
    const ids = integers(rows, vocab, 2);
    ids[0] = vocab - 1;
    const { step } = stepBuffers([{ rows }]);
    let y = new Float32Array(rows * width).fill(NaN);
    for (const part of [{ firstId: 0, ids: 6 }, { firstId: 6, ids: 5 }]) {
      const table = words(halves.subarray(part.firstId * width, (part.firstId + part.ids) * width));
      const size = { width, ...part };
      const result = await runKernel(
        embed(size),
        { step, ids, table, y },
        embedGrid(size, shape(rows)),
      );
      y = result.y!;
    }
    assertEquals([...y.subarray(0, rows * width)], [
      ...embedNaive(ids, dequantizeBf16(halves), width),
    ]);
  });

  Deno.test(`gatherRows() picks ${rows} of 7 rows of ${width}`, async () => {
    const x = pattern(7 * width, 3);
    const heads = integers(rows, 7, 4);
    const { step } = stepBuffers([...Array(rows)].map(() => ({ rows: 7 })));
    const { y } = await runKernel(
      gatherRows({ width }),
      { step, heads, x, y: { out: rows * width } },
      gatherRowsGrid({ width }, shape(7, rows)),
    );
    assertEquals([...y!.subarray(0, rows * width)], [...gatherRowsNaive(x, heads, width)]);
  });

  Deno.test(`swiglu() matches naive for ${rows} x ${width}`, async () => {
    const x = pattern(rows * 2 * width, 5).map((value) => value * 20);
    x[0] = -1000;
    x[1] = 1000;
    const { step } = stepBuffers([{ rows }]);
    const { y } = await runKernel(
      swiglu({ dff: width }),
      { step, x, y: { out: rows * width } },
      swigluGrid({ dff: width }, shape(rows)),
    );
    // WGSL's exp in f32.
    assertClose("y", y!, swigluNaive(x, width), 1e-6);
  });
}

Deno.test("embed(), gatherRows() and swiglu() leave a stopped step alone", async () => {
  const { step } = stepBuffers([{ rows: 1 }]);
  step[3] = 7;
  const x = pattern(8);
  const zeros = new Uint32Array(8);
  const size = { width: 4, firstId: 0, ids: 1 };
  const results = [
    await runKernel(embed(size), { step, ids: zeros, table: zeros, y: { out: 4 } }, [1, 1, 1]),
    await runKernel(gatherRows(size), { step, heads: zeros, x, y: { out: 4 } }, [1, 1, 1]),
    await runKernel(swiglu({ dff: 4 }), { step, x, y: { out: 4 } }, [1, 1, 1]),
  ];
  for (const { y } of results) assertEquals([...y!].every(Number.isNaN), true);
});

Deno.test("embed(), gatherRows() and swiglu() refuse widths that are no multiple of 4", () => {
  assertThrows(() => embed({ width: 6, firstId: 0, ids: 1 }), RangeError, "rows of 6");
  assertThrows(() => gatherRows({ width: 6 }), RangeError, "rows of 6");
  assertThrows(() => swiglu({ dff: 6 }), RangeError, "rows of 6");
});
