/**
 * A kernel as a plain value: `shaders/` describes, `runtime/gpu/` compiles. The only type that shaders share.
 * @module
 */

/** What a kernel does with a buffer. */
export type Access = "read" | "read_write" | "uniform";

/** One compute kernel: entry point `main`, all buffers in group 0. */
export interface KernelSpec {
  readonly name: string;
  /** Whole WGSL text; snippets of `common/` are joined in front of the op's own file. */
  readonly source: string;
  /** Buffer names in binding order: the i-th is `@group(0) @binding(i)`. */
  readonly bindings: Readonly<Record<string, Access>>;
  /** Values of the `override` constants. */
  readonly constants: Readonly<Record<string, number>>;
}

/** Workgroups in x, y and z; each at most 65,535. */
export type Grid = readonly [x: number, y: number, z: number];

/** What a grid may depend on: the sizes of one step. */
export interface StepShape {
  /** Token rows of the step. */
  readonly rows: number;
  /** Sequences in the step. */
  readonly segments: number;
  /** Rows whose logits are wanted. */
  readonly headRows: number;
  /** Largest number of KV positions that a row of the step attends to. */
  readonly maxContext: number;
}

/** Ceiling division, for grids. */
export function ceilDiv(value: number, by: number): number {
  return Math.floor((value + by - 1) / by);
}
