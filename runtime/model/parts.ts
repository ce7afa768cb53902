/**
 * What the layers of the model are made of on the GPU: placed matrices, caches and the buffers of a step.
 * Types only; `placement.ts` fills them, the layer files read them.
 * @module
 */
import type { ExpertFormat } from "../../shaders/common/expert_layout.ts";
import type { FormatName } from "../../shaders/common/formats.ts";
import type { KvFormat } from "../../shaders/common/kv_format.ts";

export type { FormatName, KvFormat };

/** Kernels for a few rows (decode, up to 16) or for many (a chunk of a prompt). */
export type Phase = "decode" | "prefill";

/** Most rows of a "decode" step; more rows use the "prefill" kernels. */
export const DECODE_ROWS = 16;

/**
 * An RMSNorm of the residual stream, cut in two in steps of up to `DECODE_ROWS` rows: the kernel that writes the stream
 * leaves it times 1 + weight, and sums of its squares; those that read that multiply their results by 1 / rms. In
 * larger steps `scaled` is normed by a kernel of its own.
 */
export interface SplitNorm {
  /** f32 [width], zero-centred. */
  readonly weight: GPUBuffer;
  /** f32 [rows, width]. */
  readonly scaled: GPUBuffer;
  /** f32 [DECODE_ROWS, one for each block of columns, then zeros up to whole quads]. */
  readonly squares: GPUBuffer;
  readonly width: number;
  readonly epsilon: number;
}

/** The format of the head: as in the file, or BF16 rounded to 8 bits. */
export type HeadFormat = "stored" | "int8";

/** A weight matrix [n, k] (y = W x), possibly several of the checkpoint's with their rows one after another. */
export interface Matrix {
  readonly format: FormatName;
  readonly n: number;
  /** A multiple of 16. */
  readonly k: number;
  /** Rows that share one row of scales: 128, or a divisor where concatenation demands it or the format is int8. */
  readonly scaleRows: number;
  /** Parts by rows, in order, each within the binding limit; all but the last have a multiple of 128 rows. */
  readonly slices: readonly MatrixSlice[];
}

/** Some rows of a matrix in one buffer. */
export interface MatrixSlice {
  readonly firstRow: number;
  readonly rows: number;
  /** fp8, int8: [rows, k] bytes; bf16: [rows, k] halves; row-major as in the checkpoint. */
  readonly codes: GPUBuffer;
  /** fp8, int8: BF16 pairs packed in u32: [ceil(rows / scaleRows), ceil(k / 128)]; null for bf16. */
  readonly scales: GPUBuffer | null;
}

/** A Gated DeltaNet mixer; C = 2 keyHeads keyDim + valueHeads valueDim channels, V = valueHeads valueDim. */
export interface DeltaWeights {
  /** [C + V, hidden]: in_proj_qkv's rows (q, k, v), then in_proj_z's. */
  readonly qkvz: Matrix;
  /** [2 valueHeads, hidden]: in_proj_b's rows, then in_proj_a's. */
  readonly ba: Matrix;
  /** f32 [C, convKernel]. */
  readonly conv: GPUBuffer;
  /** f32 [valueHeads]. */
  readonly aLog: GPUBuffer;
  /** f32 [valueHeads]. */
  readonly dtBias: GPUBuffer;
  /** f32 [valueDim]: plain weight of the gated norm. */
  readonly norm: GPUBuffer;
  /** [hidden, V]. */
  readonly out: Matrix;
}

/** Recurrent states of one layer, one slot a sequence or checkpoint. */
export interface DeltaState {
  /** f32 [slots, valueHeads, keyDim, valueDim]. */
  readonly state: GPUBuffer;
  /** f32 [slots, convKernel, C]: the last inputs of the convolution, that of position p in column p % convKernel. */
  readonly conv: GPUBuffer;
}

/** A gated attention mixer. */
export interface AttentionWeights {
  /** [2 heads headDim + 2 kvHeads headDim, hidden]: per head query then gate; then k's rows; then v's. */
  readonly qkv: Matrix;
  /** f32 [headDim], zero-centred. */
  readonly qNorm: GPUBuffer;
  /** f32 [headDim], zero-centred. */
  readonly kNorm: GPUBuffer;
  /** [hidden, heads headDim]. */
  readonly out: Matrix;
}

/** Tokens in one KV page. */
export const PAGE_TOKENS = 32;

/** KV pages of one layer. A sequence's pages all lie in one arena, because a binding is limited. */
export interface KvArena {
  /** [pages, kvHeads, PAGE_TOKENS, headDim]: f32, or f16 pairs packed in u32, as the engine's `KvFormat` says. */
  readonly k: GPUBuffer;
  /** As `k`. */
  readonly v: GPUBuffer;
}

/** A plain MLP: down(silu(gate x) * up x). */
export interface MlpWeights {
  /** [2 dff, hidden]: gate's rows, then up's. */
  readonly gateUp: Matrix;
  /** [hidden, dff]. */
  readonly down: Matrix;
}

/** A mixture-of-experts block. */
export interface MoeWeights {
  /** BF16 [experts + 1, hidden]: the router's rows, then the shared expert's gate. */
  readonly router: Matrix;
  /** Null where the shared expert has a slot of the pool. */
  readonly shared: MlpWeights | null;
  readonly pool: ExpertPool;
}

/** The expert slots of one layer; slot s lies in the chunk whose range holds it. */
export interface ExpertPool {
  readonly format: ExpertFormat;
  /** Slots that are paged. The shared expert's, where it has one, comes after them and always holds it. */
  readonly slots: number;
  readonly chunks: readonly {
    readonly firstSlot: number;
    readonly slots: number;
    readonly buffer: GPUBuffer;
  }[];
  /** u32 [experts + 1]: the slot of each expert that may be computed now, or NONE; the shared expert comes last. */
  readonly table: GPUBuffer;
  /** Where the GPU itself fills the slots from; null where the host does. */
  readonly host: HostExperts | null;
}

/** The experts of one layer in host memory that the GPU reads, and what it remembers of its slots. */
export interface HostExperts {
  /** Bytes of an expert. */
  readonly stride: number;
  /** The slot in which the shared expert stays; null where it has none. */
  readonly sharedSlot: number | null;
  /** Place p lies in the part whose range holds it. */
  readonly parts: readonly {
    readonly firstPlace: number;
    readonly places: number;
    readonly buffer: GPUBuffer;
  }[];
  /** u32 [experts + 1]: the place of each expert that is there, or NONE. */
  readonly table: GPUBuffer;
  /** u32, as `resolveState` of shaders/moe_fill. */
  readonly state: GPUBuffer;
  /** u32 [fillWords]; all layers share it. */
  readonly fills: GPUBuffer;
  /** u32 [FILL_COUNTERS], over all layers. */
  readonly counters: GPUBuffer;
}

/** Buffers that describe the step being run; written by the host before each submission. */
export interface StepBuffers {
  /** The `Step` header of shaders/common/step.wgsl. */
  readonly step: GPUBuffer;
  /** array<Row>. */
  readonly rows: GPUBuffer;
  /** array<Segment>. */
  readonly segments: GPUBuffer;
  /** u32: page tables of the segments, each from its `page_table` offset; entry i is the page of tokens [32 i, 32 i + 32). */
  readonly pages: GPUBuffer;
  /** f32 [rows, rotaryDim / 2, 2]: cos and sin of each row, from its three positions (rope.ts), scaled by YaRN's factor. */
  readonly rope: GPUBuffer;
  /** u32 [headRows]: which rows go through the head. */
  readonly heads: GPUBuffer;
}

/** Named scratch buffers of one kind of layer, shared by all layers of that kind. */
export type Scratch = Readonly<Record<string, GPUBuffer>>;
