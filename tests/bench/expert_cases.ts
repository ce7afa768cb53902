/** Benchmarks of the routed experts. @module */
import { addExperts, type MoeParts, moeScratch } from "../../runtime/model/moe.ts";
import { DECODE_ROWS, type Matrix } from "../../runtime/model/parts.ts";
import { dequantizeBf16, numberToBf16 } from "../../shaders/common/bf16.ts";
import { expertLayout, type ExpertPart } from "../../shaders/common/expert_layout.ts";
import { dequantizeFp8 } from "../../shaders/common/fp8.ts";
import { STEP } from "../../shaders/common/step.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import type { Bench } from "./bench.ts";
import { randomWords } from "./ceilings.ts";
import type { KernelCase } from "./kernel_case.ts";

/** Codes have a deviation of 130. */
const SCALE = 1e-4;

/** Sizes of one layer's experts. */
type ExpertsShape = Record<"hidden" | "dff" | "topK" | "experts", number>;

/**
 * The experts of one layer, all resident, with a shared expert of the same form; the rows go to different routed
 * ones as far as there are.
 */
export function expertsCase(sizes: ExpertsShape, rows: number): KernelCase {
  const { hidden, dff, topK, experts } = sizes;
  const layout = expertLayout({ hidden, dff, format: "fp8" });
  const used = Math.min(experts, rows * topK) + 1;
  const ranks = topK + 1;
  return {
    name: `experts [${dff}, ${hidden}] fp8, ${topK} and the shared, ${rows} ${
      rows === 1 ? "row" : "rows"
    }`,
    bytes: used * layout.byteLength,
    flops: 6 * hidden * dff * rows * ranks,
    limit: rows > DECODE_ROWS ? "flops" : "bytes",
    place(bench) {
      const slot = slotWords(layout);
      const pool = new Uint32Array((experts + 1) * layout.stride / 4);
      for (let i = 0; i <= experts; i++) pool.set(slot, i * slot.length);
      // The shared expert's id is the last.
      const ids = Uint32Array.from({ length: rows * ranks }, (_, i) => {
        const [row, rank] = [Math.floor(i / ranks), i % ranks];
        return rank === topK ? experts : (row * topK + rank) % experts;
      });
      const x = pattern(rows * hidden, 4);
      const program = bench.program();
      const parts = expertParts(bench, { ...sizes, rows }, { pool, ids, x });
      addExperts(program, rows > DECODE_ROWS ? "prefill" : "decode", parts);
      const indices = Array.from({ length: 8 }, (_, i) => i * 977 % hidden);
      const want = expertOutputs(layout, slot, x.subarray(0, hidden), indices);
      const length = rows * ranks * hidden;
      const check = { output: parts.scratch.expertOut!, length, indices, want };
      return { program, shape: { rows, segments: 1, headRows: 1, maxContext: rows }, check };
    },
  };
}

function slotWords(layout: ReturnType<typeof expertLayout>): Uint32Array<ArrayBuffer> {
  const slot = randomWords(layout.stride / 4);
  const halves = new Uint16Array(slot.buffer);
  for (const part of [layout.gateScale!, layout.upScale!, layout.downScale!]) {
    halves.fill(numberToBf16(SCALE), part.offset / 2, (part.offset + part.byteLength) / 2);
  }
  return slot;
}

function expertParts(
  bench: Bench,
  { hidden, dff, topK, experts, rows }: ExpertsShape & { readonly rows: number },
  { pool, ids, x }: {
    readonly pool: Uint32Array<ArrayBuffer>;
    readonly ids: Uint32Array<ArrayBuffer>;
    readonly x: Float32Array<ArrayBuffer>;
  },
): MoeParts {
  const sizes = { hidden, experts, topK, dff, sharedDff: dff, layers: 1 };
  const scratch = Object.fromEntries(
    Object.entries(moeScratch(sizes, rows)).map(([name, bytes]) => [name, bench.place(bytes)]),
  );
  bench.gpu.device.queue.writeBuffer(scratch.ids!, 0, ids);
  const table = bench.place(Uint32Array.from({ length: experts + 1 }, (_, i) => i));
  const chunks = [{ firstSlot: 0, slots: experts + 1, buffer: bench.place(pool) }];
  const none: Matrix = { format: "fp8", n: 0, k: 0, scaleRows: 128, slices: [] };
  const { step } = stepBuffers([{ rows }]);
  // Keeps the outputs of few rows apart, too, where they are checked.
  step[STEP.moreWaves] = 1;
  const input = bench.place(x);
  const next = {
    weight: bench.place(4 * hidden),
    scaled: bench.place(4 * hidden * rows),
    squares: bench.place(4 * hidden * rows),
    width: hidden,
    epsilon: 1e-6,
  };
  return {
    sizes,
    maxRows: rows,
    layer: 0,
    step: bench.place(step),
    scratch,
    weights: {
      router: none,
      shared: null,
      pool: { format: "fp8", slots: experts, chunks, table, host: null },
    },
    x: input,
    norm: null,
    h: bench.place(16),
    next,
  };
}

/** Some outputs of down(silu(gate x) * up x). */
function expertOutputs(
  layout: ReturnType<typeof expertLayout>,
  slot: Uint32Array<ArrayBuffer>,
  x: Float32Array,
  indices: readonly number[],
): number[] {
  const scale = dequantizeBf16(Uint16Array.of(numberToBf16(SCALE)))[0]!;
  const codes = new Uint8Array(slot.buffer);
  const dot = ({ offset, columns }: ExpertPart, row: number, input: Float32Array) => {
    const at = offset + row * columns;
    const w = dequantizeFp8(codes.slice(at, at + columns), ones(columns), { n: 1, k: columns });
    return scale * w.reduce((sum, value, i) => sum + value * input[i]!, 0);
  };
  const act = Float32Array.from({ length: layout.dff }, (_, row) => {
    const gate = dot(layout.gate, row, x);
    return gate / (1 + Math.exp(-gate)) * dot(layout.up, row, x);
  });
  return indices.map((row) => dot(layout.down, row, act));
}

function ones(columns: number): Uint16Array<ArrayBuffer> {
  return new Uint16Array(Math.ceil(columns / 128)).fill(numberToBf16(1));
}
