/** Runs llama.cpp's own benchmark. @module */
import { OptionError } from "../../../runtime/command_line.ts";
import { NO_DRIVER_CACHE } from "./first_prompt.ts";

/** Back ends of llama.cpp. */
export const BACKENDS = ["vulkan", "cuda", "cpu"] as const;

/** One of them. */
export type PeerBackend = typeof BACKENDS[number];

const LABELS = { vulkan: "Vulkan", cuda: "CUDA", cpu: "CPU" } as const;

/** How it is run. */
export interface LlamaBench {
  readonly program: string;
  readonly gguf: string;
  /** For GGML_VK_VISIBLE_DEVICES. */
  readonly device: string;
}

/** What it is to run, in tokens. */
export interface PeerWork {
  readonly prompt: number;
  readonly tokens: number;
  /** Whether nothing was compiled before; not unless said. */
  readonly fresh?: boolean;
}

/** What one run found, tokens a second; 0 tokens of either are not run. */
export interface PeerRates {
  readonly prefill: number | null;
  readonly decode: number | null;
  /** As llama.cpp names them. */
  readonly backend: string;
  readonly hardware: string;
}

const NAME = "llama-bench";

/**
 * The program at `path`, or in that folder.
 * @throws {OptionError} if there is none
 */
export function findLlamaBench(path: string): string {
  for (
    const file of [path, `${path}/${NAME}`, `${path}/bin/${NAME}`, `${path}/build/bin/${NAME}`]
  ) {
    try {
      if (Deno.statSync(file).isFile) return file;
    } catch { /* the next */ }
  }
  throw new OptionError(
    `Cannot pair: found no ${NAME} at "${path}", wanted the program or a folder that holds it; ` +
      `build llama.cpp with: cmake -B build -DGGML_VULKAN=ON && cmake --build build --target ${NAME}`,
  );
}

/**
 * Runs it once over a prompt of `prompt` and then `tokens` tokens, warmed by itself; or, with `fresh`, neither warmed nor
 * with kernels that the driver has kept.
 * @throws {OptionError} with its last words if it fails, or if it has no such back end
 */
export async function runLlamaBench(
  { program, gguf, device }: LlamaBench,
  backend: PeerBackend,
  { prompt, tokens, fresh = false }: PeerWork,
): Promise<PeerRates> {
  const sizes = ["-m", gguf, "-p", String(prompt), "-n", String(tokens), "-r", "1", "-o", "json"];
  const where = backend === "cpu" ? ["-ngl", "0", "-dev", "none"] : ["-ngl", "99"];
  if (fresh) where.push("--no-warmup");
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...sizes, ...where],
    // Without it software devices are passed over.
    env: {
      ...(backend === "vulkan" ? { GGML_VK_VISIBLE_DEVICES: device } : {}),
      ...(fresh ? NO_DRIVER_CACHE : {}),
    },
  }).output();
  const errors = new TextDecoder().decode(stderr);
  if (code !== 0) {
    throw new OptionError(`Cannot pair: ${NAME} ended with ${code}: ${lastLine(errors)}`);
  }
  return parseRates(new TextDecoder().decode(stdout), backend);
}

/**
 * The rates in its JSON.
 * @throws {OptionError} if that is not of this back end, or not of its form
 */
export function parseRates(text: string, backend: PeerBackend): PeerRates {
  const runs = parseRuns(text);
  const { backends = "", cpu_info: cpu = "", gpu_info: gpu = "" } = runs[0] ?? {};
  if (backend !== "cpu" && (!backends.toLowerCase().includes(backend) || gpu === "")) {
    throw new OptionError(
      `Cannot pair: ${NAME} found no ${LABELS[backend]} device (back ends: ${
        backends || "none"
      }), ` +
        `wanted a build with GGML_${backend.toUpperCase()}=ON and a device that --device names`,
    );
  }
  const rate = (of: (run: Run) => boolean) => runs.find(of)?.avg_ts ?? null;
  return {
    prefill: rate(({ n_prompt }) => n_prompt > 0),
    decode: rate(({ n_gen }) => n_gen > 0),
    backend: backends,
    hardware: backend === "cpu" ? cpu : gpu,
  };
}

interface Run {
  readonly n_prompt: number;
  readonly n_gen: number;
  /** Tokens a second. */
  readonly avg_ts: number;
  readonly backends?: string;
  readonly cpu_info?: string;
  readonly gpu_info?: string;
}

function parseRuns(text: string): readonly Run[] {
  try {
    const runs: unknown = JSON.parse(text);
    if (Array.isArray(runs) && runs.every((run) => Number.isFinite(run?.avg_ts))) return runs;
  } catch { /* said below */ }
  throw new OptionError(
    `Cannot pair: ${NAME} printed "${text.slice(0, 60)}", wanted a JSON array of runs with avg_ts`,
  );
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) || "it said nothing";
}
