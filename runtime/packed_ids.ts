/** Token ids on their way to another thread: cloning an array of numbers takes some hundred times longer. @module */

/** Ids as one block of memory. Float64, because a caller's ids may be any integers. */
export function packIds(ids: readonly number[]): Float64Array {
  return Float64Array.from(ids);
}

/** The ids of a block. */
export function unpackIds(packed: Float64Array): number[] {
  const ids = new Array<number>(packed.length);
  // Array.from() would ask the block's iterator for each of them.
  for (let i = 0; i < ids.length; i++) ids[i] = packed[i]!;
  return ids;
}
