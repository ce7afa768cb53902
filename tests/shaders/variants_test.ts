import { assert, assertEquals, assertThrows } from "@std/assert";
import { FP8_DECODERS, fp8DecoderConstants } from "../../shaders/common/fp8.ts";
import { type ProductCut, productCut } from "../../shaders/common/products.ts";
import {
  defaultVariant,
  PRODUCT_VARIANTS,
  type ProductVariant,
  runnableVariants,
  variantOf,
} from "../../shaders/common/variants.ts";
import { matmul, matmulGrid, matmulSizes } from "../../shaders/matmul/matmul.ts";
import { matmulNaive } from "../../shaders/matmul/naive.ts";
import { workingDecoders } from "../../runtime/tune/decoders.ts";
import { assertClose } from "../assert_close.ts";
import { gpu, runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { testMatrix } from "./weights.ts";

/** One below a whole workgroup of any variant, with a block of 128 columns cut short. */
const [N, K] = [127, 272];
const MATRIX = testMatrix("fp8", { n: N, k: K }, 3);
const X = pattern(8 * K, 2);

async function multiply(
  variant: Pick<ProductVariant, "decoder">,
  cut: ProductCut,
  rows: number,
): Promise<Float32Array> {
  const shape = { format: "fp8", n: N, k: K } as const;
  const spec = matmul(shape, cut);
  const { y } = await runKernel(
    { ...spec, constants: { ...spec.constants, ...fp8DecoderConstants(variant.decoder) } },
    {
      step: stepBuffers([{ rows }]).step,
      codes: MATRIX.codes,
      scales: MATRIX.scales,
      x: X.slice(0, rows * K),
      y: { out: rows * N },
      sizes: Uint32Array.from(matmulSizes(shape)),
      squares: X,
    },
    matmulGrid(shape, cut, { rows, segments: 1, headRows: 0, maxContext: 0 }),
  );
  return y!.subarray(0, rows * N);
}

const { device, software, subgroups } = await gpu();
const subgroupSize = subgroups ? device.adapterInfo.subgroupMinSize : 0;
const decoders = await workingDecoders(device, FP8_DECODERS);
const runnable = runnableVariants({ software, subgroupSize }).filter(({ decoder }) =>
  decoders.includes(decoder)
);

for (const variant of PRODUCT_VARIANTS) {
  Deno.test({
    name: `matmul() matches naive in 1, 4 and 8 rows, with equal bits, by ${variant.name}`,
    ignore: !runnable.includes(variant),
    fn: () => check(variant),
  });
}

Deno.test({
  name: "matmul() matches naive where 8 lanes are added up in subgroups",
  ignore: subgroupSize < 8,
  fn: () => check({ name: "", decoder: "pairs", lanes: 8, outputs: 8, reduce: "subgroups" }),
});

async function check(variant: ProductVariant): Promise<void> {
  const want = matmulNaive(X, MATRIX.dense, K);
  const alone = await multiply(variant, productCut(1, variant), 1);
  for (const tile of [1, 4] as const) {
    for (const rows of tile === 1 ? [1] : [4, 8]) {
      const y = await multiply(variant, productCut(tile, variant), rows);
      // f32 sums of 272 products.
      assertClose(`${rows} rows`, y, want.subarray(0, rows * N), 2e-6);
      assertEquals([...y.subarray(0, N)], [...alone], `${rows} rows, ${tile} in a tile`);
    }
  }
}

Deno.test("matmul() has the same bits with every decoder, and others with other lanes", async () => {
  const by = (name: string) => multiply(variantOf(name), productCut(4, variantOf(name)), 4);
  const pairs = [...await by("pairs-4x16")];
  for (const decoder of decoders) assertEquals([...await by(`${decoder}-4x16`)], pairs);
  assert((await by("pairs-8x8")).some((value, i) => value !== pairs[i]));
});

Deno.test("variantOf() knows every name once, and says which there are", () => {
  const names = PRODUCT_VARIANTS.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const variant of PRODUCT_VARIANTS) {
    const { decoder, lanes, outputs, reduce, broadcast } = variant;
    const suffix = broadcast ? "-broadcast" : reduce === "subgroups" ? "-subgroups" : "";
    assertEquals(variant.name, `${decoder}-${lanes}x${outputs}${suffix}`);
    assertEquals(variantOf(variant.name), variant);
  }
  assertThrows(() => variantOf("fast"), RangeError, 'kernels "fast": there are pairs-32x8');
});

Deno.test("every device runs its default, which every decoder has a twin of", () => {
  for (const [software, subgroupSize] of [[true, 0], [true, 8], [false, 0], [false, 32]] as const) {
    const usual = defaultVariant({ software, subgroupSize });
    const twins = runnableVariants({ software, subgroupSize }).filter((variant) =>
      variant.lanes === usual.lanes && variant.outputs === usual.outputs &&
      variant.reduce === usual.reduce && variant.broadcast === usual.broadcast
    );
    assertEquals(twins.map(({ decoder }) => decoder), [...FP8_DECODERS]);
  }
  const without = runnableVariants({ software: false, subgroupSize: 0 });
  assert(without.every(({ reduce }) => reduce === "memory"));
});

Deno.test("threads tell each other x on CPUs alone: a GPU runs every other variant", () => {
  const on = (software: boolean) => runnableVariants({ software, subgroupSize: 32 });
  assertEquals(on(true), PRODUCT_VARIANTS);
  assertEquals(on(false), PRODUCT_VARIANTS.filter(({ broadcast }) => !broadcast));
});
