/** Decoding one sequence beside the kernels that its tokens are made of, round after round. @module */
import { median } from "../../runtime/median.ts";
import type { Derived } from "../../runtime/forecast/derived.ts";
import type { ModelConfig } from "../../runtime/model/config.ts";
import type { AloneKernels, AloneRound } from "./alone.ts";
import { type Figure } from "./timing.ts";
import { headSeconds, kernelSeconds } from "./traffic.ts";
import type { Workload } from "./workload.ts";

/** One sequence with next to no context. */
export interface DecodeResult extends Figure {
  /** What `plan` predicts, with its formula. */
  readonly predicted: Derived;
  /** Bytes of weights a second. */
  readonly weights: number;
  /** That over the rates of the kernels that only read and only copy, in turn with it. */
  readonly ofRead: number;
  readonly ofCopy: number;
  /** Of the kernels of a token by themselves, in turn with it; only for matrices of 35B-A3B. */
  readonly alone?: {
    /** Their time over that of a token; the experts' in one buffer. */
    readonly share: number;
    /** The same with the experts in as many buffers as the engine has them. */
    readonly ofPool: number;
    /** As `share`, in time of the processors; null where that cannot be told. */
    readonly ofCpu: number | null;
    /** Seconds of the head. */
    readonly head: number;
  };
}

/** Rounds of decoding and kernels by themselves. */
const LEAST_ROUNDS = 7;

/** What decoding is compared with. */
interface Compared {
  readonly runs: number;
  readonly alone: AloneKernels;
  readonly weights: number;
  readonly config: ModelConfig;
  readonly realSizes: boolean;
}

/**
 * The kernels by themselves run between two stretches of decoding, again and again, and each round is held against the mean of
 * its neighbours: whoever else uses the machine slows all three. Their processor time, where the system tells it, does not
 * count who that is.
 */
export async function timeDecode(
  workload: Workload,
  { runs, alone, weights, config, realSizes }: Compared,
): Promise<Omit<DecodeResult, "predicted">> {
  await workload.decode(1);
  const rounds: DecodeRound[] = [];
  let before = await workload.decodeWithCpu();
  for (let run = 0; run < Math.max(runs, LEAST_ROUNDS); run++) {
    const kernels = await alone.round(realSizes);
    const after = await workload.decodeWithCpu();
    rounds.push(decodeRound(kernels, [before, after], config));
    before = after;
  }
  const middle = (value: (round: DecodeRound) => number) => median(rounds.map(value));
  return {
    value: middle(({ rate }) => rate),
    runs: rounds.length,
    weights: weights * middle(({ rate }) => rate),
    ofRead: middle(({ rate, read }) => weights * rate / read),
    ofCopy: middle(({ rate, copy }) => weights * rate / copy),
    ...(realSizes && {
      alone: {
        share: middle(({ share }) => share),
        ofPool: middle(({ ofPool }) => ofPool),
        ofCpu: rounds.every(({ ofCpu }) => ofCpu !== null) ? middle(({ ofCpu }) => ofCpu!) : null,
        head: middle(({ head }) => head),
      },
    }),
  };
}

/** One round: tokens a second, and shares of a token's time. */
export interface DecodeRound extends Pick<AloneRound, "read" | "copy"> {
  readonly rate: number;
  readonly share: number;
  readonly ofPool: number;
  readonly ofCpu: number | null;
  readonly head: number;
}

/** Some tokens of one sequence. */
export type DecodedStretch = Awaited<ReturnType<Workload["decodeWithCpu"]>>;

/** One round, from the kernels by themselves and the stretches of decoding before and after them. */
export function decodeRound(
  { seconds, cpuSeconds, poolSeconds, read, copy }: AloneRound,
  [before, after]: readonly [DecodedStretch, DecodedStretch],
  config: ModelConfig,
): DecodeRound {
  const rate = 2 / (1 / before.rate + 1 / after.rate);
  const cpu = before.cpuSeconds === null || after.cpuSeconds === null
    ? null
    : (before.cpuSeconds + after.cpuSeconds) / 2;
  return {
    ...{ rate, read, copy },
    share: rate * kernelSeconds(seconds, config),
    ofPool: rate * kernelSeconds({ ...seconds, experts: poolSeconds }, config),
    ofCpu: cpu && cpuSeconds && kernelSeconds(cpuSeconds, config) / cpu,
    head: headSeconds(seconds, config),
  };
}
