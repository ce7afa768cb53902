/**
 * The layers of a step when experts are paged. The GPU runs ahead on the experts that are resident; the
 * router of the first layer that misses one stops it (later kernels return at once), the host brings the
 * missing experts in, and the step goes on from there.
 * @module
 */
import { NONE, STEP } from "../../shaders/common/step.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { ExpertPager } from "../experts/pager.ts";
import type { ReadAhead } from "../experts/read_ahead.ts";
import type { OnRoute } from "../experts/trace.ts";
import type { Program } from "../gpu/program.ts";
import type { Readback } from "../gpu/readback.ts";
import type { ForwardPrograms } from "../model/forward.ts";
import { moeRanks } from "../model/moe_parts.ts";
import { DECODE_ROWS } from "../model/parts.ts";

/** What the stage drives. */
export interface ExpertStageParts {
  readonly device: GPUDevice;
  readonly pager: ExpertPager;
  /** The `Step` header of the step's buffers. */
  readonly step: GPUBuffer;
  /** The expert table of each layer, u32 [experts + 1]. */
  readonly tables: readonly GPUBuffer[];
  /** The slot in which every layer's shared expert stays; null where it has none. */
  readonly sharedSlot: number | null;
  /** Loads after which the GPU starts on what is there, in steps of many rows: with few it would be done at once. */
  readonly partLoads: number;
  /** u32 [layers, idStride]: the experts that each layer's router chose for (row, rank), the shared one last. */
  readonly ids: GPUBuffer;
  /** Words from one layer's ids to the next. */
  readonly idStride: number;
  readonly topK: number;
  readonly readback: Readback;
  /** Looks ahead at every stop, by what the layer routed from: f32 [rows, width]. Null where it does not. */
  readonly ahead: {
    readonly reader: ReadAhead;
    readonly hidden: GPUBuffer;
    readonly width: number;
  } | null;
}

const HEADER_BYTES = STEP.words * 4;

/** What a step's layers came to. */
export interface StageResult {
  readonly dispatches: number;
  /** Rows that were routed to an expert that could not be loaded, with the reason; their results mean nothing. */
  readonly failedRows: ReadonlyMap<number, unknown>;
}

/** Runs the layers of steps, paging as needed. */
export class ExpertStage {
  readonly #parts: ExpertStageParts;
  /** Layers submitted at a time: doubles while nothing is missing, falls to the distance of a miss. */
  #window: number;
  readonly #watchers: OnRoute[] = [];
  #watchesAll = false;

  constructor(parts: ExpertStageParts, layers: number) {
    this.#parts = parts;
    this.#window = layers;
  }

  /**
   * Tells `onRoute` of each layer of each step from now on; it must not keep the ids. Steps that need no paging are
   * among them only if one asks for `all`: it costs them the way of those that do.
   */
  watch(onRoute: OnRoute, { all }: { readonly all: boolean }): void {
    this.#watchers.push(onRoute);
    this.#watchesAll ||= all;
  }

  /** Whether nothing is left to page, every expert being resident, and nobody watches all steps. */
  isIdle(): boolean {
    return this.#parts.pager.isComplete() && !this.#watchesAll;
  }

  /** Runs embedding and all layers; on return all work is submitted. */
  async run(programs: ForwardPrograms, shape: StepShape): Promise<StageResult> {
    const { layers } = programs;
    const failedRows = new Map<number, unknown>();
    let dispatches = 0;
    let from = 0;
    let resumed = -1; // a layer whose experts are done and whose sum is still to be formed
    while (from < layers.length) {
      const to = Math.min(layers.length, from + this.#window);
      const encoder = this.#parts.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      if (from === 0) dispatches += programs.embed.record(pass, shape);
      if (resumed >= 0) dispatches += layers[resumed]!.combine.record(pass, shape);
      for (const layer of layers.slice(from, to)) {
        dispatches += layer.route.record(pass, shape) + layer.experts.record(pass, shape) +
          layer.combine.record(pass, shape);
      }
      pass.end();
      const { stopped, ids, hidden } = await this.#submit(encoder, from, to, shape);
      const end = stopped === 0 ? to : stopped - 1;
      for (let layer = from; layer < end; layer++) {
        this.#parts.pager.touch(layer, ids[layer - from]!);
      }
      ids.slice(0, end - from + Number(stopped > 0)).forEach((layerIds, index) => {
        for (const onRoute of this.#watchers) onRoute(from + index, layerIds, shape.rows);
        this.#parts.ahead?.reader.chose(from + index, layerIds);
      });
      this.#window = stopped === 0
        ? Math.min(layers.length, this.#window * 2)
        : Math.max(1, end - from);
      if (stopped > 0) {
        const stopIds = ids[end - from]!;
        dispatches += await this.#page(programs, end, { ids: stopIds, shape, failedRows });
        // The GPU is busy with these experts now, and the reads that they needed are done.
        if (hidden) await this.#parts.ahead!.reader.look(end, stopIds, hidden);
      }
      resumed = stopped === 0 ? -1 : end;
      from = stopped === 0 ? to : end + 1;
    }
    if (resumed >= 0) dispatches += this.#record(layers[resumed]!.combine, shape);
    return { dispatches, failedRows };
  }

  /**
   * Submits and reads back where the step stopped (1 + layer, or 0), the ids of layers [from, to), and the residual
   * stream, as the stopped layer left it, if someone looks ahead.
   */
  async #submit(
    encoder: GPUCommandEncoder,
    from: number,
    to: number,
    shape: StepShape,
  ): Promise<{ stopped: number; ids: Uint32Array[]; hidden: Float32Array | null }> {
    const { device, step, ids, idStride, topK, readback, ahead } = this.#parts;
    const words = shape.rows * moeRanks({ topK });
    encoder.copyBufferToBuffer(step, 0, readback.target, 0, HEADER_BYTES);
    for (let layer = from; layer < to; layer++) {
      const target = HEADER_BYTES + (layer - from) * words * 4;
      encoder.copyBufferToBuffer(ids, layer * idStride * 4, readback.target, target, words * 4);
    }
    const end = HEADER_BYTES + (to - from) * words * 4;
    const hiddenBytes = ahead?.reader.wants(shape.rows) ? 4 * shape.rows * ahead.width : 0;
    if (hiddenBytes > 0) {
      encoder.copyBufferToBuffer(ahead!.hidden, 0, readback.target, end, hiddenBytes);
    }
    device.queue.submit([encoder.finish()]);
    const bytes = await readback.read(end + hiddenBytes);
    return {
      stopped: new Uint32Array(bytes, 0, STEP.words)[STEP.stopped]!,
      ids: Array.from(
        { length: to - from },
        (_, i) => chosen(new Uint32Array(bytes, HEADER_BYTES + i * words * 4, words), topK),
      ),
      hidden: hiddenBytes > 0 ? new Float32Array(bytes, end, hiddenBytes / 4) : null,
    };
  }

  /** Computes the experts of the stopped layer, as many waves as its slots ask for. */
  async #page(
    programs: ForwardPrograms,
    layer: number,
    { ids, shape, failedRows }: {
      readonly ids: Uint32Array;
      readonly shape: StepShape;
      readonly failedRows: Map<number, unknown>;
    },
  ): Promise<number> {
    const { device, pager, step, sharedSlot, topK, partLoads } = this.#parts;
    device.queue.writeBuffer(step, STEP.stopped * 4, new Uint32Array(1));
    let dispatches = 0;
    let masked = false;
    try {
      const part = shape.rows > DECODE_ROWS ? partLoads : Infinity;
      for await (
        const { index, isLast, experts, failures } of pager.resolve(layer, ids, { part })
      ) {
        for (const [expert, error] of failures) {
          ids.forEach((id, pair) =>
            id === expert && failedRows.set(Math.floor(pair / topK), error)
          );
        }
        masked = index > 0 || !isLast;
        if (masked) {
          device.queue.writeBuffer(step, STEP.moreWaves * 4, Uint32Array.of(isLast ? 0 : 1));
        }
        // Without a mask, experts of earlier waves that are still resident would be computed again, as would the shared one.
        const shared = index === 0 ? sharedSlot : null;
        if (masked) this.#writeTable(layer, only(pager.table(layer), experts), shared);
        dispatches += this.#record(programs.layers[layer]!.experts, shape);
      }
    } finally {
      if (masked) this.#writeTable(layer, pager.table(layer), sharedSlot);
    }
    return dispatches;
  }

  #writeTable(layer: number, slotOf: Uint32Array, sharedSlot: number | null): void {
    const { device, tables } = this.#parts;
    const words = Uint32Array.of(...slotOf, sharedSlot ?? NONE);
    device.queue.writeBuffer(tables[layer]!, 0, words);
  }

  /** Submits one program by itself; returns its dispatches. */
  #record(program: Program, shape: StepShape): number {
    const { device } = this.#parts;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    const dispatches = program.record(pass, shape);
    pass.end();
    device.queue.submit([encoder.finish()]);
    return dispatches;
  }
}

/** Without the shared expert, which nobody chose: [rows, topK]. */
function chosen(ids: Uint32Array, topK: number): Uint32Array {
  return ids.filter((_, i) => i % moeRanks({ topK }) < topK);
}

/** The table with the slots of `experts` alone. */
function only(table: Uint32Array, experts: Uint32Array): Uint32Array {
  const masked = new Uint32Array(table.length).fill(NONE);
  for (const expert of experts) masked[expert] = table[expert]!;
  return masked;
}
