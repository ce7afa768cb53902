/** The members of the family by their public sizes. @module */

/** The sizes that tell one member from another; heads of 256, DeltaNet heads of 128 x 128 unless said. */
export interface Member {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim?: number;
  /** Key and value heads of the Gated DeltaNet. */
  readonly deltaKeyHeads: number;
  readonly deltaValueHeads: number;
  /** Key and value size of a DeltaNet head. */
  readonly deltaDim?: number;
  readonly mlp:
    | {
      readonly kind: "moe";
      readonly experts: number;
      readonly topK: number;
      readonly dff: number;
      readonly sharedDff: number;
    }
    | { readonly kind: "dense"; readonly dff: number };
  readonly tied: boolean;
  /** Whether the size of its image tower is known here: such a member is written with it. */
  readonly vision: boolean;
}

/** Entries of the vocabulary, padding included, of every member. */
export const FAMILY_VOCAB = 248_320;

/** The image tower, the same for those members that are written with one. */
export const VISION = {
  depth: 27,
  hidden: 1152,
  inner: 4304,
  heads: 16,
  patch: 16,
  temporalPatch: 2,
  merge: 2,
  positions: 2304,
} as const;

/** Members whose sizes were found in more than one public source. */
export const MEMBERS = {
  "35B-A3B": {
    hidden: 2048,
    layers: 40,
    heads: 16,
    kvHeads: 2,
    deltaKeyHeads: 16,
    deltaValueHeads: 32,
    mlp: { kind: "moe", experts: 256, topK: 8, dff: 512, sharedDff: 512 },
    tied: false,
    vision: true,
  },
  "122B-A10B": {
    hidden: 3072,
    layers: 48,
    heads: 32,
    kvHeads: 2,
    deltaKeyHeads: 16,
    deltaValueHeads: 64,
    mlp: { kind: "moe", experts: 256, topK: 8, dff: 1024, sharedDff: 1024 },
    tied: false,
    vision: false,
  },
  "397B-A17B": {
    hidden: 4096,
    layers: 60,
    heads: 32,
    kvHeads: 2,
    deltaKeyHeads: 16,
    deltaValueHeads: 64,
    mlp: { kind: "moe", experts: 512, topK: 10, dff: 1024, sharedDff: 1024 },
    tied: false,
    vision: false,
  },
  "27B": dense(5120, 64, [24, 4], 48, 17_408),
  "9B": dense(4096, 32, [16, 4], 32, 12_288),
  "4B": { ...dense(2560, 32, [16, 4], 32, 9216), tied: true },
  "0.8B": { ...dense(1024, 24, [8, 2], 16, 3584), tied: true },
} as const satisfies Readonly<Record<string, Member>>;

/** The name of a member. */
export type MemberName = keyof typeof MEMBERS;

function dense(
  hidden: number,
  layers: number,
  [heads, kvHeads]: readonly [number, number],
  deltaValueHeads: number,
  dff: number,
): Member {
  return {
    hidden,
    layers,
    heads,
    kvHeads,
    deltaKeyHeads: 16,
    deltaValueHeads,
    mlp: { kind: "dense", dff },
    tied: false,
    vision: false,
  };
}
