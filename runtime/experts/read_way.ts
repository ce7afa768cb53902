/** Chooses how experts are read, by timing the ways on the files themselves. @module */
import { type ReadWay, WeightsError } from "../../weights/mod.ts";
import { median } from "../median.ts";
import type { ExpertReader } from "./reader.ts";

/** A way, or whichever is fastest. */
export type ExpertIo = "auto" | ReadWay;

/** What was chosen, and why. */
export interface ReadChoice {
  readonly way: ReadWay;
  /** Milliseconds an expert by each way, medians; empty if nothing was timed. */
  readonly milliseconds: Readonly<Partial<Record<ReadWay, number>>>;
  /** Bytes read for the timing. */
  readonly bytes: number;
}

/** Where experts may be tried out. */
export interface TrialGround {
  readonly layers: number;
  readonly experts: number;
}

/** Experts read at once, as many as the pager loads. */
const AT_ONCE = 4;
const ROUNDS = 3;

/** Experts that together are no larger than this are not worth a timing. */
const SMALL_BYTES = 256 * 2 ** 20;

/** What is not timed: no wait for another thread where the page cache has the bytes. */
const UNTIMED: readonly ReadWay[] = ["cached", "pread"];

/**
 * Share of another way's time that a way must stay below to be taken. A file that is cut at the wrong moment ends
 * the process in "mmap" (see `weights/mmap.ts`): only a clear gain is worth that.
 */
const BAR: Readonly<Record<ReadWay, number>> = { pread: 1, cached: 0.95, mmap: 0.7 };

/**
 * Chooses for this reader, which reads that way from then on. Every expert is read once at most, so that no way finds
 * in the page cache what another one has brought there.
 * @throws {WeightsError} if a way is asked for that these files cannot be read by
 */
export async function chooseReadWay(
  reader: ExpertReader,
  wanted: ExpertIo,
  { layers, experts }: TrialGround,
): Promise<ReadChoice> {
  const { ways, layout } = reader;
  if (wanted !== "auto" && !ways.includes(wanted)) {
    throw new WeightsError(
      `Cannot read experts by "${wanted}": found only ${ways.join(", ")} here, ` +
        `let --expert-io be one of them`,
    );
  }
  const large = layers * experts * layout.byteLength > SMALL_BYTES;
  const choice = wanted === "auto" && large && ways.length > 1
    ? await timed(reader, { layers, experts })
    : untimed(wanted === "auto" ? UNTIMED.find((way) => ways.includes(way))! : wanted);
  reader.way = choice.way;
  return choice;
}

/** The choice as a line for people. */
export function readChoiceLine({ way, milliseconds }: ReadChoice): string {
  const times = Object.entries(milliseconds).map(([way, ms]) => `${way} ${ms.toFixed(2)} ms`);
  return `experts are read by ${way}` +
    (times.length === 0 ? "" : `, fastest of ${times.join(", ")} an expert`);
}

/** Of these times the way to take: the shortest once each is divided by its bar. */
export function fastestWay(milliseconds: Readonly<Partial<Record<ReadWay, number>>>): ReadWay {
  const ways = Object.keys(milliseconds) as ReadWay[];
  return ways.toSorted((a, b) => milliseconds[a]! / BAR[a] - milliseconds[b]! / BAR[b])[0]!;
}

function untimed(way: ReadWay): ReadChoice {
  return { way, milliseconds: {}, bytes: 0 };
}

async function timed(reader: ExpertReader, ground: TrialGround): Promise<ReadChoice> {
  const places = spread(ground, reader.ways.length * ROUNDS * AT_ONCE);
  const times = new Map<ReadWay, number[]>(reader.ways.map((way) => [way, []]));
  let bytes = 0;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const [way, taken] of times) {
        const batch = places.splice(0, AT_ONCE);
        const begin = performance.now();
        const sizes = await Promise.all(
          batch.map(({ layer, expert }) => reader.tryOut(layer, expert, way)),
        );
        taken.push((performance.now() - begin) / batch.length);
        bytes += sizes.reduce((sum, size) => sum + size, 0);
      }
    }
  } catch (error) {
    // A damaged expert is told to the request that needs it.
    if (error instanceof WeightsError) return untimed("pread");
    throw error;
  }
  const milliseconds = Object.fromEntries([...times].map(([way, taken]) => [way, median(taken)]));
  return { way: fastestWay(milliseconds), milliseconds, bytes };
}

/** Different experts, far from each other in the files: what is read ahead for one must not serve the next. */
function spread(
  { layers, experts }: TrialGround,
  count: number,
): { layer: number; expert: number }[] {
  const total = layers * experts;
  const stride = Math.max(1, Math.floor(total / count));
  return Array.from({ length: Math.min(count, total) }, (_, i) => {
    // Neighbours in time go to opposite halves.
    const place = (i % 2 * Math.ceil(count / 2) + Math.floor(i / 2)) * stride % total;
    return { layer: Math.floor(place / experts), expert: place % experts };
  });
}
