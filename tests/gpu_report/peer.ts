/** llama.cpp on the same machine and checkpoint, where its program and the converted checkpoint are given. @module */
import { digits } from "../../runtime/forecast/derived.ts";
import { BACKENDS, findLlamaBench, runLlamaBench } from "../bench/peer/llama_bench.ts";
import type { Finding, Report } from "./finding.ts";
import type { ReportOptions } from "./options.ts";

const TOKENS = 64;

/** Tells what each of its back ends reaches, beside what this engine did with everything resident. */
export async function reportPeer(
  report: Report,
  { llamaBench, gguf, prompts, device }: ReportOptions,
  findings: readonly Finding[],
): Promise<void> {
  const line = (name: string, found: string, rest: Partial<Finding> = {}) =>
    report({ section: "peer", name, found, ...rest });
  if (llamaBench === null || gguf === null) {
    return line("llama.cpp", "skipped: --llama-bench and --gguf were not given");
  }
  const peer = { program: findLlamaBench(llamaBench), gguf, device };
  const [prompt = 512] = prompts;
  const known = (what: string) =>
    findings.find(({ name }) => name === `all resident: ${what}`)?.data;
  const ours = {
    decode: Number(known("decode")?.tokensPerSecond),
    prompt: Number(known(`prompt of ${prompt}`)?.tokens) /
      Number(known(`prompt of ${prompt}`)?.seconds),
  };
  for (const backend of BACKENDS) {
    try {
      const decoded = await runLlamaBench(peer, backend, { prompt: 0, tokens: TOKENS });
      const how = `${decoded.backend} on ${decoded.hardware}, ${TOKENS} tokens`;
      const beside = besideOurs(decoded.decode!, ours.decode);
      line(`llama.cpp ${backend}: decode`, beside, { how, data: { rate: decoded.decode } });
      const { prefill } = await runLlamaBench(peer, backend, { prompt, tokens: 0 });
      const read = besideOurs(prefill!, ours.prompt);
      line(`llama.cpp ${backend}: prompt of ${prompt}`, read, { data: { rate: prefill } });
    } catch (error) {
      line(`llama.cpp ${backend}`, `skipped: ${(error as Error).message}`);
    }
  }
}

function besideOurs(theirs: number, ours: number): string {
  const rate = `${digits(theirs)} tokens/s`;
  return Number.isFinite(ours) ? `${rate}; ours ${digits(ours / theirs)} times that` : rate;
}
