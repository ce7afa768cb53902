/** Benchmarks of the kernels that read a sequence's state: delta rule and attention. @module */
import {
  attentionDecode,
  attentionDecodeGrid,
  attentionMerge,
  attentionMergeGrid,
  attentionSplits,
  type HeadSizes,
} from "../../shaders/attention/decode.ts";
import { attentionPrefill, attentionPrefillGrid } from "../../shaders/attention/prefill.ts";
import { tileCut } from "../../shaders/common/tile.ts";
import { deltaStep, deltaStepGrid } from "../../shaders/delta_rule/delta_step.ts";
import type { DeltaSizes } from "../../shaders/delta_rule/sizes.ts";
import {
  deltaCase,
  deltaNaive,
  EPSILON,
  rowsOf,
  stepInputs,
  widths,
} from "../shaders/delta_case.ts";
import { kvCase, PAGE_TOKENS } from "../shaders/kv_case.ts";
import { stepBuffers } from "../step.ts";
import type { Bench } from "./bench.ts";
import type { KernelCase } from "./kernel_case.ts";

/** One token of each of `sequences` sequences through the delta rule. */
export function deltaStepCase(sizes: DeltaSizes, sequences: number): KernelCase {
  const { slot, values } = widths(sizes);
  return {
    name: `delta step ${sizes.valueHeads} heads, ${sequences} ${
      sequences === 1 ? "sequence" : "sequences"
    }`,
    // The state is read and written.
    bytes: 2 * 4 * slot * sequences,
    // For each number of it: decay, its part of what k recalls, the update, and its part of the output.
    flops: 7 * slot * sequences,
    limit: "bytes",
    place(bench) {
      const list = Array.from(
        { length: sequences },
        (_, i) => ({ rows: 1, stateRead: i, stateWrite: sequences + i }),
      );
      const { step, segments } = stepBuffers(list);
      const c = deltaCase(sequences, sizes);
      const out = bench.place(4 * sequences * values);
      const given = stepInputs(c);
      const inputs = Object.fromEntries(
        Object.entries({ ...given.buffers, convolved: c.convolved })
          .map(([name, data]) => [name, bench.place(data)]),
      );
      const { channels } = widths(sizes);
      const program = bench.program();
      const { broadcast } = tileCut(program.kernels);
      const options = { fewestRows: 1, mostRows: 1, epsilon: EPSILON, broadcast };
      program.add(deltaStep(given.sizes, options), {
        step: bench.place(step),
        segments: bench.place(segments),
        ...inputs,
        conv_state: bench.place(2 * 4 * given.sizes.convKernel * channels * sequences),
        state: bench.place(2 * 4 * slot * sequences),
        out,
        squares: inputs.x!,
      }, deltaStepGrid(sizes));
      const want = deltaNaive(rowsOf(c, 0, 1), null).out;
      const indices = Array.from(want, (_, i) => i);
      const shape = { rows: sequences, segments: sequences, headRows: 1, maxContext: 1 };
      return { program, shape, check: { output: out, length: values, indices, want } };
    },
  };
}

/** One row that sees `tokens` tokens. */
export function attentionDecodeCase(sizes: HeadSizes, tokens: number): KernelCase {
  return {
    name: `attention decode ${sizes.heads} heads, context ${tokens}`,
    bytes: kvBytes(sizes, tokens),
    flops: 4 * tokens * sizes.heads * sizes.headDim,
    limit: "bytes",
    place(bench) {
      const test = kvCase(sizes, [{ tokens, rows: 1, salt: 1 }]);
      const splits = attentionSplits(tokens);
      const { common, out } = attentionBuffers(bench, sizes, test);
      const sums = bench.place(4 * splits * sizes.heads * sizes.headDim);
      const totals = bench.place(8 * splits * sizes.heads);
      const { step, rows, qkv, ...cache } = common;
      const program = bench.program();
      const { broadcast } = tileCut(program.kernels);
      const layout = { pageTokens: PAGE_TOKENS, arena: 0, format: test.format };
      program.add(
        attentionDecode(sizes, { ...layout, splits }, broadcast),
        { step, rows, ...cache, sums, totals },
        (shape) => attentionDecodeGrid(shape, sizes, broadcast),
      );
      program.add(
        attentionMerge(sizes, { splits }, broadcast),
        { step, rows, qkv, sums, totals, out },
        (shape) => attentionMergeGrid(shape, sizes),
      );
      return placed(program, { rows: 1, maxContext: tokens }, out, test.want);
    },
  };
}

/** A chunk of `rows` rows at the end of `tokens` tokens. */
export function attentionPrefillCase(sizes: HeadSizes, rows: number, tokens: number): KernelCase {
  const seen = rows * (tokens - rows) + rows * (rows + 1) / 2;
  return {
    name: `attention prefill ${sizes.heads} heads, ${rows} rows, context ${tokens}`,
    bytes: kvBytes(sizes, tokens),
    flops: 4 * seen * sizes.heads * sizes.headDim,
    limit: "flops",
    place(bench) {
      const test = kvCase(sizes, [{ tokens, rows, salt: 1 }]);
      const { common, out } = attentionBuffers(bench, sizes, test);
      const program = bench.program();
      const { broadcast } = tileCut(program.kernels);
      program.add(
        attentionPrefill(
          sizes,
          { pageTokens: PAGE_TOKENS, arena: 0, format: test.format },
          broadcast,
        ),
        { ...common, out },
        (shape) => attentionPrefillGrid(shape, sizes, broadcast),
      );
      return placed(program, { rows, maxContext: tokens }, out, test.want);
    },
  };
}

function placed(
  program: ReturnType<Bench["program"]>,
  { rows, maxContext }: { readonly rows: number; readonly maxContext: number },
  output: GPUBuffer,
  want: Float64Array,
) {
  const indices = Array.from(want, (_, i) => i);
  return {
    program,
    shape: { rows, segments: 1, headRows: 1, maxContext },
    check: { output, length: want.length, indices, want },
  };
}

/** What every attention kernel binds, and the output. */
function attentionBuffers(bench: Bench, sizes: HeadSizes, test: ReturnType<typeof kvCase>) {
  const arena = test.arenas[0]!;
  const common = {
    step: bench.place(test.step),
    rows: bench.place(test.rows),
    segments: bench.place(test.segments),
    pages: bench.place(test.pages),
    q: bench.place(test.q),
    k: bench.place(arena.k),
    v: bench.place(arena.v),
    qkv: bench.place(test.qkv),
  };
  const out = bench.place(4 * test.step[0]! * sizes.heads * sizes.headDim);
  return { common, out };
}

/** Keys and values of so many tokens as f16. */
function kvBytes({ kvHeads, headDim }: HeadSizes, tokens: number): number {
  return 2 * 2 * kvHeads * headDim * tokens;
}
