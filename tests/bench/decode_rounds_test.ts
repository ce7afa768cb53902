import { assertAlmostEquals, assertEquals } from "@std/assert";
import { memberSubject } from "../../runtime/forecast/subject.ts";
import type { AloneSeconds } from "./alone.ts";
import { cpuSeconds, cpuTimeOf } from "./cpu_time.ts";
import { decodeRound } from "./decode_rounds.ts";
import { MATRICES } from "./kernels.ts";

const { config } = memberSubject("35B-A3B", "fp8");
/** Two layers of each kind, so that sums are easy. */
const SMALL = {
  ...config,
  layerKinds: ["linear", "full"],
  layers: 2,
  vocab: MATRICES.head.n,
} as const;

function seconds(each: number, experts: number): AloneSeconds {
  const names = Object.keys(MATRICES).filter((name) => name !== "wide");
  return { ...Object.fromEntries(names.map((name) => [name, each])), experts } as AloneSeconds;
}

Deno.test("decodeRound() holds kernels against the mean of the decoding before and after them", () => {
  // Two layers: qkvz, ba, out, qkv, out, two routers, the head, and twice the experts.
  const round = {
    seconds: seconds(0.001, 0.01),
    cpuSeconds: seconds(0.002, 0.02),
    ...{ poolSeconds: 0.02, read: 4e9, copy: 2e9 },
  };
  const stretches = [{ rate: 20, cpuSeconds: 0.07 }, { rate: 1 / 0.07, cpuSeconds: 0.09 }] as const;
  const found = decodeRound(round, stretches, SMALL);
  assertAlmostEquals(1 / found.rate, 0.06);
  assertAlmostEquals(found.share, 0.028 / 0.06);
  assertAlmostEquals(found.ofPool, 0.048 / 0.06);
  assertAlmostEquals(found.ofCpu!, 0.056 / 0.08);
  assertAlmostEquals(found.head, 0.001);
  const untold = decodeRound({ ...round, cpuSeconds: null }, stretches, SMALL);
  assertEquals([untold.ofCpu, untold.share], [null, found.share]);
});

Deno.test("cpuTimeOf() counts work, and no waiting", async () => {
  if (cpuSeconds() === null) return;
  const busy = await cpuTimeOf(() => {
    const until = cpuSeconds()! + 0.05;
    while (cpuSeconds()! < until);
    return Promise.resolve();
  });
  const waiting = await cpuTimeOf(() => new Promise((resolve) => setTimeout(resolve, 100)));
  assertEquals(busy! >= 0.05, true);
  assertEquals(waiting! < busy!, true);
});
