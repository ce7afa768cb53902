/**
 * The first prompt of a fresh process for which the driver has compiled nothing yet: what the first user of a new machine
 * waits for. This file is also that process.
 * @module
 */
import { OptionError } from "../../../runtime/command_line.ts";
import { readSnapshotConfig } from "../../../runtime/snapshot.ts";
import { openTestEngine } from "../../engine_fixture.ts";
import { Workload } from "../workload.ts";

/** Environment in which the drivers of Mesa and NVIDIA neither find nor keep compiled kernels. */
export const NO_DRIVER_CACHE = {
  MESA_SHADER_CACHE_DISABLE: "true",
  __GL_SHADER_DISK_CACHE: "0",
} as const;

/** What a fresh process reached, tokens/s. */
export interface FirstPrompt {
  /** Of the prompt alone, after loading. */
  readonly prefill: number;
  /** The same tokens over the time from the start of the process to its end. */
  readonly whole: number;
}

/** The length of the prompt. */
export const FIRST_PROMPT = 16;

/**
 * Runs `measure`, which starts a process that says how fast its prompt was, and times it.
 */
export async function timeFirstPrompt(measure: () => Promise<number>): Promise<FirstPrompt> {
  const start = performance.now();
  const prefill = await measure();
  return { prefill, whole: FIRST_PROMPT * 1000 / (performance.now() - start) };
}

/**
 * Starts this engine with a snapshot and tells how fast its first prompt was, tokens/s.
 * @throws {OptionError} if the process fails
 */
export async function runFirstPrompt(snapshot: string, vram: string | null): Promise<number> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", import.meta.filename!, snapshot, ...(vram ? [vram] : [])],
    env: NO_DRIVER_CACHE,
    stderr: "inherit",
  }).output();
  const rate = Number(new TextDecoder().decode(stdout));
  if (code === 0 && rate > 0) return rate;
  throw new OptionError(`Cannot pair: the engine's own first prompt ended with ${code}`);
}

/** What the process does: everything a server does before it is ready, then the prompt. */
async function main([snapshot, vram]: readonly string[]): Promise<void> {
  const engine = await openTestEngine(snapshot!, {
    vram: vram ?? null,
    maxSequences: 1,
    context: 512,
    stateCacheBytes: 0,
  });
  try {
    await engine.runner.pager?.loadAll();
    const workload = new Workload(engine, readSnapshotConfig(snapshot!).config.vocab);
    console.log(FIRST_PROMPT / await workload.prefill(FIRST_PROMPT));
  } finally {
    await engine.close();
  }
}

if (import.meta.main) await main(Deno.args);
