/** Log-probabilities at the real sizes against Hugging Face transformers on this machine, where Python has it. @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { size } from "../../runtime/plan.ts";
import { inventory } from "../../runtime/synth/inventory.ts";
import { type MemberName, MEMBERS } from "../../runtime/synth/members.ts";
import { synthesize } from "../../runtime/synth/synthesize.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { readExpectation } from "../oracle_case.ts";
import { compareParity } from "../parity.ts";
import type { Report } from "./finding.ts";
import type { ReportOptions } from "./options.ts";

const SCRIPT = new URL("../oracle/expect.py", import.meta.url).pathname;
const DEMO = `${import.meta.dirname}/../../weights/demo`;
const NAME = "log-probabilities at real sizes against transformers";
/** Every matrix has its real size; what there is of them is cut, so that float32 copies fit a host. */
const LAYERS = 4;
const EXPERTS = { software: 16, hardware: 64 };
const VOCAB = 4096;
/** Of the file's bytes: transformers holds its float32 weights, and while it loads them their parts. */
const HOST_SHARE = 12;
const LENGTHS = "2,33";
const GREEDY = 4;

/** @throws {Error} if the engine differs by more than rounding */
export async function reportTransformers(
  report: Report,
  { dir, model, python }: ReportOptions,
  { kernels }: { readonly kernels: string },
): Promise<void> {
  const skip = (why: string) =>
    report({ section: "correctness", name: NAME, found: `skipped: ${why}` });
  const version = await transformersVersion(python);
  if ("obstacle" in version) return skip(version.obstacle);
  const gpu = await openGpu();
  gpu.device.destroy();
  const cut = cutOf(model, gpu.software);
  const { byteLength } = inventory(cut);
  const { available } = Deno.systemMemoryInfo();
  if (byteLength * HOST_SHARE > available) {
    return skip(`it takes ${size(byteLength * HOST_SHARE)} of memory, ${size(available)} are free`);
  }
  const folder = `${dir}/${model}-for-transformers`;
  Deno.mkdirSync(dir, { recursive: true });
  try {
    Deno.removeSync(folder, { recursive: true });
  } catch { /* there is none */ }
  try {
    synthesize({ model: cut, seed: 3, locality: 0, folder, borrowFrom: DEMO });
    const problems = await compare(report, { folder, python, kernels, made: version.version });
    if (problems > 0) throw new Error("the engine differs from transformers on this machine");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function cutOf(model: MemberName, software: boolean) {
  const member = MEMBERS[model];
  const experts = EXPERTS[software ? "software" : "hardware"];
  const cut = { member, format: "fp8", layers: LAYERS, vocab: VOCAB } as const;
  return member.mlp.kind === "dense" ? cut : { ...cut, experts };
}

/** Tells the comparison; returns how many positions are wrong. */
async function compare(
  report: Report,
  { folder, python, kernels, made }: Readonly<
    Record<"folder" | "python" | "kernels" | "made", string>
  >,
): Promise<number> {
  const file = `${folder}/expect.jsonl`;
  const start = performance.now();
  const lengths = ["--lengths", LENGTHS, "--greedy", String(GREEDY), "--out", file];
  const { code, stderr } = await run(python, [SCRIPT, folder, ...lengths]);
  if (code !== 0) throw new Error(`transformers failed: ${stderr.trim().split("\n").at(-1)}`);
  const seconds = (performance.now() - start) / 1000;
  const prompts = readExpectation(file);
  const engine = await openTestEngine(folder, { vram: "4G", kernels });
  try {
    const results = [];
    for (const { tokens, greedy: { tokens: further } } of prompts) {
      const request = greedy(tokens, { maxTokens: further.length, promptLogprobs: 0 });
      const { promptLogprobs, tokens: generated } = await complete(engine, request);
      results.push({ logprobs: promptLogprobs, greedy: generated });
    }
    // So few positions are mostly near-ties or none: those may be a larger share than in the committed cases.
    const found = compareParity(prompts, results, { exemptShare: 0.2 });
    const { worst, positions, exempt, problems } = found;
    report({
      section: "correctness",
      name: NAME,
      found: problems.length === 0
        ? `within ${worst.toExponential(1)} at ${positions - exempt} of ${positions} positions`
        : `WRONG: ${problems.slice(0, 3).join("; ")}`,
      how: `${LAYERS} layers, matrices of real sizes; ${made} in float32, ${seconds.toFixed(0)} s`,
      data: { worst, positions, exempt, problems: problems.length },
    });
    return problems.length;
  } finally {
    await engine.close();
  }
}

async function transformersVersion(
  python: string,
): Promise<{ readonly version: string } | { readonly obstacle: string }> {
  const program = "import safetensors, torch, transformers as t; " +
    "print('transformers', t.__version__, 'torch', torch.__version__)";
  try {
    const { code, stdout, stderr } = await run(python, ["-c", program]);
    if (code === 0) return { version: stdout.trim().split("\n").at(-1)! };
    return { obstacle: `${python}: ${stderr.trim().split("\n").at(-1)}` };
  } catch (error) {
    return { obstacle: `${python} cannot be run: ${(error as Error).message}` };
  }
}

async function run(program: string, args: readonly string[]) {
  const { code, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = (bytes: Uint8Array<ArrayBuffer>) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
