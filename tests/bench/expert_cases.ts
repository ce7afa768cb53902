/** Benchmarks of the routed experts. @module */
import { addExperts } from "../../runtime/model/moe.ts";
import { moeIdStride, type MoeParts, moeScratch } from "../../runtime/model/moe_parts.ts";
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
/** Times that a row chooses other experts before it comes back to the first. */
const MOST_COPIES = 4;

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
  // One row after another, each with experts of its own.
  const copies = rows === 1 ? Math.max(1, Math.min(MOST_COPIES, Math.floor(experts / topK))) : 1;
  return {
    name: `experts [${dff}, ${hidden}] fp8, ${topK} and the shared, ${rows} ${
      rows === 1 ? "row" : "rows"
    }`,
    bytes: used * layout.byteLength,
    flops: 6 * hidden * dff * rows * ranks,
    limit: rows > DECODE_ROWS ? "flops" : "bytes",
    place(bench) {
      const slot = slotWords(layout);
      // The shared expert's id is the last.
      const idsOf = (copy: number) =>
        Uint32Array.from({ length: rows * ranks }, (_, i) => {
          const [row, rank] = [Math.floor(i / ranks) + copy, i % ranks];
          return rank === topK ? experts : (row * topK + rank) % experts;
        });
      const ids = Array.from({ length: copies }, (_, copy) => idsOf(copy));
      const x = pattern(rows * hidden, 4);
      const program = bench.program();
      const parts = expertParts(bench, { ...sizes, rows }, { slot, ids, x });
      for (let layer = 0; layer < copies; layer++) {
        addExperts(program, rows > DECODE_ROWS ? "prefill" : "decode", { ...parts, layer });
      }
      const indices = Array.from({ length: 8 }, (_, i) => i * 977 % hidden);
      const want = expertOutputs(layout, slot, x.subarray(0, hidden), indices);
      const length = rows * ranks * hidden;
      const check = { output: parts.scratch.expertOut!, length, indices, want };
      return {
        program,
        copies,
        shape: { rows, segments: 1, headRows: 1, maxContext: rows },
        check,
      };
    },
  };
}

/** So many slots in buffers that can be bound, as the engine cuts a pool. */
function placeSlots(
  bench: Bench,
  slot: Uint32Array<ArrayBuffer>,
  count: number,
): MoeParts["weights"]["pool"]["chunks"] {
  const most = Math.floor(bench.gpu.maxBinding / slot.byteLength);
  const chunks: MoeParts["weights"]["pool"]["chunks"][number][] = [];
  for (let firstSlot = 0; firstSlot < count; firstSlot += most) {
    const slots = Math.min(most, count - firstSlot);
    const words = new Uint32Array(slots * slot.length);
    for (let i = 0; i < slots; i++) words.set(slot, i * slot.length);
    chunks.push({ firstSlot, slots, buffer: bench.place(words) });
    bench.gpu.device.queue.submit([]); // or the queue would keep all of them
  }
  return chunks;
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
  { slot, ids, x }: {
    /** What every slot holds. */
    readonly slot: Uint32Array<ArrayBuffer>;
    /** Of each copy. */
    readonly ids: readonly Uint32Array<ArrayBuffer>[];
    readonly x: Float32Array<ArrayBuffer>;
  },
): MoeParts {
  const sizes = { hidden, experts, topK, dff, sharedDff: dff, layers: ids.length };
  const scratch = Object.fromEntries(
    Object.entries(moeScratch(sizes, rows)).map(([name, bytes]) => [name, bench.place(bytes)]),
  );
  ids.forEach((own, copy) => {
    const offset = 4 * copy * moeIdStride(sizes, rows);
    bench.gpu.device.queue.writeBuffer(scratch.ids!, offset, own);
  });
  const table = bench.place(Uint32Array.from({ length: experts + 1 }, (_, i) => i));
  const chunks = placeSlots(bench, slot, experts + 1);
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
