/** The chunks of a pool of experts, for the kernels that list their tiles. @module */
import chunks from "./chunks.wgsl" with { type: "text" };

/** Most chunks of a pool: as in chunks.wgsl. */
export const MOST_CHUNKS = 64;

/** WGSL text of the `ChunkSizes` uniform. */
export const CHUNKS_WGSL: string = chunks;

/** A kernel that takes tiles. */
export type TileOp = "gateUp" | "down";

/** What makes the uniform beside the chunks, in their order. */
export interface ChunkGroups {
  readonly topK: number;
  /** Workgroups of a tile. */
  readonly groups: Readonly<Record<TileOp, number>>;
}

/**
 * The words of the `ChunkSizes` uniform.
 * @throws {RangeError} for more chunks than there is room for
 */
export function chunkSizes(
  { topK, groups }: ChunkGroups,
  chunks: readonly { readonly firstSlot: number; readonly slots: number }[],
): number[] {
  if (chunks.length > MOST_CHUNKS) {
    throw new RangeError(
      `Cannot list the experts of ${chunks.length} buffers: expected at most ${MOST_CHUNKS}`,
    );
  }
  const ends = new Array<number>(MOST_CHUNKS).fill(0);
  chunks.forEach(({ firstSlot, slots }, i) => ends[i] = firstSlot + slots);
  return [topK, chunks.length, groups.gateUp, groups.down, ...ends];
}
