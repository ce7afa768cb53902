/**
 * What a page-in of experts costs to read: every way to read, and in one, two and six pieces, warm and cold. One piece is
 * what a repacked copy would offer: as many bytes in a row, at a page's border. Ways take turns, medians are printed.
 *
 *     deno run -A tests/expert_io.ts SNAPSHOT [--rounds N] [--at-once N]
 *
 * @module
 */
import { exitCode, OptionError, readFlags, wholeNumber } from "../runtime/command_line.ts";
import { median } from "../runtime/median.ts";
import { readSnapshotConfig } from "../runtime/snapshot.ts";
import { openSnapshot, type ReadWay, type Snapshot } from "../weights/mod.ts";
import { LIBC_PATHS } from "../weights/libc.ts";

/** Bytes that lie together. */
interface Piece {
  readonly file: string;
  readonly at: number;
  readonly length: number;
}

const PAGE = 4096;
const FADV_DONTNEED = 4;
const MATRICES = ["down", "gate", "up"];

/** Forgets what the page cache holds of a piece. */
class Cache {
  readonly #libc = Deno.dlopen(LIBC_PATHS.find((path) => isFile(path))!, {
    open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
    posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  }).symbols;
  readonly #files = new Map<string, number>();

  forget({ file, at, length }: Piece): void {
    let handle = this.#files.get(file);
    if (handle === undefined) {
      handle = this.#libc.open(new TextEncoder().encode(file + "\0"), 0, 0);
      this.#files.set(file, handle);
    }
    const from = Math.floor(at / PAGE) * PAGE;
    this.#libc.posix_fadvise(
      handle,
      BigInt(from),
      BigInt(at + length - from + PAGE),
      FADV_DONTNEED,
    );
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** The six tensors of an expert as they lie in the files. */
function sixPieces(snapshot: Snapshot, layer: number, expert: number): Piece[] {
  const at = `model.language_model.layers.${layer}.mlp.experts.${expert}.`;
  return ["weight", "weight_scale_inv"].flatMap((kind) =>
    MATRICES.map((matrix) => {
      const { file, begin, byteLength } = snapshot.tensor(`${at}${matrix}_proj.${kind}`);
      return { file, at: begin, length: byteLength };
    })
  );
}

/** Neighbours in one. */
function joined(pieces: readonly Piece[]): Piece[] {
  const runs: Piece[] = [];
  for (const piece of pieces) {
    const last = runs.at(-1);
    if (last && last.file === piece.file && last.at + last.length === piece.at) {
      runs[runs.length - 1] = { ...last, length: last.length + piece.length };
    } else runs.push(piece);
  }
  return runs;
}

/** As many bytes in a row from a page's border on, which end where the first piece ends at the latest. */
function slab(pieces: readonly Piece[]): Piece[] {
  const { file, at, length } = pieces[0]!;
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return [{ file, at: Math.floor((at + length - total) / PAGE) * PAGE, length: total }];
}

async function readAll(
  snapshot: Snapshot,
  pieces: readonly Piece[],
  into: Uint8Array<ArrayBuffer>,
  way: ReadWay,
): Promise<void> {
  let to = 0;
  await Promise.all(pieces.map(({ file, at, length }) => {
    const part = into.subarray(to, to += length);
    return snapshot.readInto(file, at, part, way);
  }));
}

const USAGE = "expert_io.ts SNAPSHOT [--rounds N] [--at-once N]";

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help")) return console.log(USAGE);
  const text = { type: "string" } as const;
  const { values, positionals: [folder, ...more] } = readFlags({
    args: [...args],
    options: { rounds: { ...text, default: "20" }, "at-once": { ...text, default: "4" } },
    allowPositionals: true,
  });
  if (folder === undefined || more.length > 0) {
    throw new OptionError(`Cannot read experts: found "${args.join(" ")}", wanted ${USAGE}`);
  }
  const rounds = wholeNumber("rounds", values.rounds, { least: 1, most: 1000 });
  const atOnce = wholeNumber("at-once", values["at-once"], { least: 1, most: 64 });
  const { config: { layers, mlp } } = readSnapshotConfig(folder);
  if (mlp.kind === "dense") throw new OptionError(`Cannot read experts: "${folder}" has none`);
  const snapshot = openSnapshot(folder, { source: "mmap" });
  const cache = new Cache();
  const cuts = { "6 pieces": (p: Piece[]) => p, "2 pieces": joined, "1 slab": slab };
  const buffers = Array.from({ length: atOnce }, () => new Uint8Array(2 ** 23));
  let turn = 0;
  for (const cold of [false, true]) {
    const times = new Map<string, number[]>();
    for (let round = 0; round < rounds; round++) {
      for (const way of snapshot.ways) {
        for (const [name, cut] of Object.entries(cuts)) {
          const batch = buffers.map(() => {
            turn++;
            return cut(sixPieces(snapshot, turn * 7 % layers, turn * 41 % mlp.experts));
          });
          for (const pieces of batch) {
            if (cold) pieces.forEach((piece) => cache.forget(piece));
            else await readAll(snapshot, pieces, buffers[0]!, "pread");
          }
          const begin = performance.now();
          await Promise.all(batch.map((pieces, i) => readAll(snapshot, pieces, buffers[i]!, way)));
          const key = `${way}, ${name}`;
          times.set(key, [...times.get(key) ?? [], (performance.now() - begin) / buffers.length]);
        }
      }
    }
    for (const [key, taken] of times) {
      const ms = median(taken).toFixed(3);
      console.log(`${cold ? "cold" : "warm"}  ${key.padEnd(18)} ${ms} ms an expert`);
    }
  }
  snapshot.close();
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
