/** The door of the weights: everything other folders may import. @module */
export type { ReadWay, SourceKind } from "./byte_source.ts";
export * from "./dtype.ts";
export * from "./errors.ts";
export * from "./expect.ts";
export { LIBC_PATHS } from "./libc.ts";
export type { TensorEntry } from "./safetensors.ts";
export { elementCount } from "./safetensors.ts";
export { type OpenOptions, openSnapshot } from "./shards.ts";
export { Snapshot } from "./snapshot.ts";
export type { SourceChoice } from "./source.ts";
export { Tensor } from "./tensor.ts";
export * from "./writer.ts";
