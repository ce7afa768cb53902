/** The engine at one budget: start-up, first token, decode, hits and prompts. @module */
import { digits, time } from "../../runtime/forecast/derived.ts";
import { snapshotSubject, type Subject } from "../../runtime/forecast/subject.ts";
import { parseSize } from "../../runtime/options.ts";
import { planMemory, size } from "../../runtime/plan.ts";
import { planInput } from "../../runtime/plan_input.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openGpu } from "../../runtime/gpu/device.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { openTestEngine, TEST_OPTIONS } from "../engine_fixture.ts";
import { tellDecode } from "./decode_lines.ts";
import type { Report } from "./finding.ts";
import type { BudgetRun, OpenRun } from "./open_run.ts";
import type { ReportOptions } from "./options.ts";
import { dropCaches, obstacleTo } from "./room.ts";
import { snapshotFolder } from "./snapshot.ts";
import { PROMPT, Workload } from "./workload.ts";

const WARM_UP = 8;
/** Room behind the longest prompt. */
const MARGIN = 64;

/** Opens the engine, runs it, and tells. */
export async function reportBudget(
  report: Report,
  options: ReportOptions,
  run: BudgetRun,
): Promise<void> {
  const folder = snapshotFolder(options);
  const subject = subjectOf(folder);
  const { maxBinding, software } = await deviceHere();
  const choice = choiceOf(options, subject, maxBinding);
  const name = nameOf(run);
  // With room to run ahead of the host, as a server has that is given a whole card.
  const input = planInput(subject.config, subject.tensors, { ...choice, ahead: true });
  const everything = planMemory({ ...input, budget: Infinity }).total;
  const budget = run.budget === null ? everything : parseSize("budgets", run.budget);
  const obstacle = await obstacleTo(Math.min(budget, everything));
  if (obstacle !== null) {
    const found = `skipped: ${obstacle}`;
    return report({ section: "speed", name, found, how: `it takes ${size(budget)}` });
  }
  if (run.cold) dropCaches();
  const start = performance.now();
  const engine = await openTestEngine(folder, {
    ...choice,
    vram: String(Math.ceil(budget)),
    stateCacheBytes: 0,
    runAhead: null,
    residency: run.residency,
    kernels: run.kernels,
  });
  const opened = (performance.now() - start) / 1000;
  const workload = new Workload(engine, subject.config.vocab);
  const open = { ...run, name, subject, engine, workload, choice, software };
  try {
    const lost = engine.lost.then((message) => Promise.reject(new Error(message)));
    await Promise.race([lost, timeEngine(report, options, open, opened)]);
  } finally {
    await engine.close();
  }
}

function nameOf({ budget, residency, cold }: BudgetRun): string {
  if (budget === null) return "all resident";
  return budget + (cold ? ", cold" : residency === "auto" ? "" : `, ${residency}`);
}

function choiceOf(
  { prompts, decode }: ReportOptions,
  { config }: Subject,
  maxBinding: number,
) {
  const longest = Math.max(...prompts, PROMPT + decode) + MARGIN;
  return {
    ...TEST_OPTIONS,
    maxBinding,
    maxSequences: 1,
    context: Math.min(config.maxPositions, longest),
  };
}

/** What of the device decides how programs are built. */
async function deviceHere(): Promise<{ readonly maxBinding: number; readonly software: boolean }> {
  const gpu = await openGpu();
  gpu.device.destroy();
  return gpu;
}

async function timeEngine(
  report: Report,
  options: ReportOptions,
  run: OpenRun,
  opened: number,
): Promise<void> {
  const { name, workload, engine } = run;
  const [first] = await workload.run(PROMPT, 1);
  report({
    section: "speed",
    name: `${name}: first token`,
    found: `${time(opened + first!)}: opened in ${time(opened)}, ${PROMPT} tokens in ${
      time(first!)
    }`,
    how: "from opening the engine in a new process",
    data: { opened, first: first! },
  });
  if (run.cold) return;
  tellEquality(report, run, await workload.logprobs());
  await workload.run(PROMPT, WARM_UP);
  const before = workload.experts();
  const times = await workload.run(PROMPT, options.decode);
  const after = workload.experts();
  tellDecode(report, run, {
    step: (times.at(-1)! - times[0]!) / (times.length - 1),
    tokens: times.length,
    hits: after.hits - before.hits,
    misses: after.misses - before.misses,
  });
  let each = 0;
  for (const length of options.prompts) {
    const line = { section: "speed", name: `${name}: prompt of ${length}` } as const;
    const [left, expected] = [(run.untilMs - performance.now()) / 1000, each * length];
    if (length >= engine.info.contextLength || expected > left) {
      const why = expected > left
        ? `it should take ${time(expected)}, ${time(Math.max(0, left))} are left`
        : `the context is ${engine.info.contextLength}`;
      report({ ...line, found: `left out: ${why}` });
      continue;
    }
    const [seconds] = await workload.run(length, 1);
    each = seconds! / length;
    const found = `${digits(1 / each)} tokens/s, ${time(seconds!)}`;
    report({ ...line, found, data: { tokens: length, seconds: seconds! } });
  }
}

function tellEquality(
  report: Report,
  { name, logprobs }: OpenRun,
  found: readonly number[],
): void {
  const broken = found.filter((value) => !Number.isFinite(value)).length;
  if (logprobs === null || broken > 0) {
    return report({
      section: "correctness",
      name: `${name}: log-probabilities`,
      found: broken === 0 ? `${found.length}, all finite` : `WRONG: ${broken} are not finite`,
      how: "of the prompt by which all budgets are compared",
      ...(broken === 0 ? { data: { logprobs: JSON.stringify(found) } } : {}),
    });
  }
  const differing = found.filter((value, i) => value !== logprobs[i]).length;
  report({
    section: "correctness",
    name: `${name}: log-probabilities against the first budget's`,
    found: differing === 0
      ? "equal to the last bit"
      : `WRONG: ${differing} of ${found.length} differ`,
    data: { differing },
  });
}

function subjectOf(folder: string): Subject {
  const snapshot = openSnapshot(folder);
  try {
    const { config } = readSnapshotConfig(folder);
    const tensors = Array.from(snapshot.names(), (name) => snapshot.tensor(name));
    return snapshotSubject(folder, config, tensors);
  } finally {
    snapshot.close();
  }
}
