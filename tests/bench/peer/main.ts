/** Pairs this engine with llama.cpp on one checkpoint: `deno run -A tests/bench/peer/main.ts --help`. @module */
import { exitCode, OptionError } from "../../../runtime/command_line.ts";
import { readSnapshotConfig } from "../../../runtime/snapshot.ts";
import { openTestEngine } from "../../engine_fixture.ts";
import { Bench } from "../bench.ts";
import { Workload } from "../workload.ts";
import { FIRST_PROMPT, runFirstPrompt, timeFirstPrompt } from "./first_prompt.ts";
import {
  findLlamaBench,
  type LlamaBench,
  type PeerBackend,
  type PeerRates,
  runLlamaBench,
} from "./llama_bench.ts";
import { parsePeerOptions, PEER_HELP, type PeerOptions } from "./options.ts";
import { Pairing, pairTable } from "./pairing.ts";

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help")) return console.log(PEER_HELP);
  const options = parsePeerOptions(args);
  const { gguf, device, json, rounds, backends } = options;
  const peer: LlamaBench = { program: findLlamaBench(options.llamaBench), gguf, device };
  requireFile(`${options.snapshot}/config.json`, "deno task bench --only decode makes it");
  await makeGguf(options);
  const vram = await isSoftware() ? "4T" : null;
  const pairing = new Pairing();
  for (let round = 0; round < options.freshRounds; round++) {
    for (const backend of backends) {
      if (backend !== "cpu") await runFresh({ peer, backend, pairing }, options.snapshot, vram);
    }
  }
  const { config } = readSnapshotConfig(options.snapshot);
  const engine = await openTestEngine(options.snapshot, {
    vram,
    maxSequences: 1,
    context: Math.max(...options.prompts) + 512,
    stateCacheBytes: 0,
  });
  try {
    await engine.runner.pager?.loadAll();
    console.log(`ours: ${engine.info.adapter}`);
    const workload = new Workload(engine, config.vocab);
    await workload.decode(1);
    for (let round = 0; round < rounds; round++) {
      for (const backend of backends) await runRound({ peer, backend, workload, pairing }, options);
    }
    const results = pairing.results();
    console.log(pairTable(results));
    if (json !== null) Deno.writeTextFileSync(json, JSON.stringify(results, null, 2) + "\n");
  } finally {
    await engine.close();
  }
}

interface FreshRound {
  readonly peer: LlamaBench;
  readonly backend: PeerBackend;
  readonly pairing: Pairing;
}

interface Round extends FreshRound {
  readonly workload: Workload;
}

/** The first prompt of a fresh process of ours, then of theirs, where the driver has compiled nothing. */
async function runFresh(
  { peer, backend, pairing }: FreshRound,
  snapshot: string,
  vram: string | null,
): Promise<void> {
  const work = { prompt: FIRST_PROMPT, tokens: 0, fresh: true };
  const ours = await timeFirstPrompt(() => runFirstPrompt(snapshot, vram));
  const theirs = await timeFirstPrompt(async () =>
    (await runLlamaBench(peer, backend, work)).prefill!
  );
  const name = nameOf(backend);
  pairing.add(name, `first prompt of ${FIRST_PROMPT}, nothing compiled`, [
    ours.prefill,
    theirs.prefill,
  ]);
  pairing.add(name, "the same, with start and loading", [ours.whole, theirs.whole]);
}

function nameOf(backend: PeerBackend): string {
  return `llama.cpp ${backend}`;
}

/** Ours, theirs, ours, theirs, from the work that takes least to that which takes most. */
async function runRound(
  { peer, backend, workload, pairing }: Round,
  { tokens, prompts, patience }: PeerOptions,
): Promise<void> {
  const name = nameOf(backend);
  const decode = await workload.decode(1);
  const theirs = await runLlamaBench(peer, backend, { prompt: 0, tokens });
  show(name, theirs);
  pairing.add(name, "decode", [decode, theirs.decode!]);
  let rate = Infinity;
  for (const prompt of prompts) {
    // It runs the prompt twice, once to warm up.
    if (2 * prompt / rate > patience) {
      console.error(`left out: prefill of ${prompt} with ${name}, ${digits(2 * prompt / rate)} s`);
      continue;
    }
    const ours = prompt / await workload.prefill(prompt);
    rate = (await runLlamaBench(peer, backend, { prompt, tokens: 0 })).prefill!;
    pairing.add(name, `prefill of ${prompt}`, [ours, rate]);
  }
}

function show(name: string, { backend, hardware, decode }: PeerRates): void {
  console.error(`${name}: ${backend} on ${hardware}, ${digits(decode!)} tokens/s`);
}

function digits(value: number): string {
  return value.toPrecision(3);
}

/** Converts the snapshot unless that has been done. */
async function makeGguf({ gguf, convert, snapshot }: PeerOptions): Promise<void> {
  if (convert === null) {
    return requireFile(gguf, "llama.cpp's convert_hf_to_gguf.py makes it: see --convert");
  }
  if (isFile(gguf)) return;
  const quoted = (path: string) => `'${path.replaceAll("'", "'\\''")}'`;
  const command = convert.replaceAll("{snapshot}", quoted(snapshot))
    .replaceAll("{gguf}", quoted(gguf));
  console.error(command);
  const { code } = await new Deno.Command("sh", { args: ["-c", command], stdout: "inherit" })
    .spawn().status;
  if (code === 0 && isFile(gguf)) return;
  throw new OptionError(`Cannot pair: --convert ended with ${code} and left no "${gguf}"`);
}

function requireFile(path: string, advice: string): void {
  if (isFile(path)) return;
  throw new OptionError(`Cannot pair: there is no "${path}"; ${advice}`);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function isSoftware(): Promise<boolean> {
  const bench = await Bench.open(1);
  await bench.close();
  return bench.gpu.software;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
