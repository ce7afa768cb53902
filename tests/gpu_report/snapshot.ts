/** The snapshot that is timed: a given one, or one made as large as room and time allow. @module */
import { statfsSync } from "node:fs";
import { size } from "../../runtime/plan.ts";
import { decimal, time } from "../../runtime/forecast/derived.ts";
import { inventory } from "../../runtime/synth/inventory.ts";
import { MEMBERS } from "../../runtime/synth/members.ts";
import { DEFAULT_LOCALITY, synthesize } from "../../runtime/synth/synthesize.ts";
import type { Report } from "./finding.ts";
import type { ReportOptions } from "./options.ts";

const DEMO = `${import.meta.dirname}/../../weights/demo`;
const TRIAL_BYTES = 2 ** 28;
const LEAST_LAYERS = 4;
/** Making a snapshot takes longer than writing its bytes. */
const SLACK = 1.3;

/** Where the snapshot to be timed is. */
export function snapshotFolder({ snapshot, dir, model }: ReportOptions): string {
  return snapshot ?? `${dir}/${model}-synthetic`;
}

/** Makes the snapshot unless there is one; `seconds` is how long that may take. */
export function makeSnapshot(report: Report, options: ReportOptions, seconds: number): void {
  const folder = snapshotFolder(options);
  if (exists(`${folder}/config.json`)) {
    const how = options.snapshot === null ? "made by an earlier run" : "given";
    return report({ section: "machine", name: "snapshot", found: folder, how });
  }
  if (options.snapshot !== null) throw new Error(`there is no config.json in ${folder}`);
  Deno.mkdirSync(options.dir, { recursive: true });
  // What an interrupted run left behind.
  if (exists(folder)) Deno.removeSync(folder, { recursive: true });
  const rate = diskRate(options.dir);
  const { layers, why } = layersFor(options, { rate, seconds });
  const { experts, vocab, model } = options;
  const start = performance.now();
  const { byteLength } = synthesize({
    model: {
      member: MEMBERS[model],
      format: "fp8",
      ...(layers === null ? {} : { layers }),
      ...(experts === null ? {} : { experts }),
      ...(vocab === null ? {} : { vocab }),
    },
    seed: 1,
    locality: DEFAULT_LOCALITY,
    folder,
    borrowFrom: DEMO,
  });
  const taken = (performance.now() - start) / 1000;
  report({
    section: "machine",
    name: "snapshot",
    found: `${model}, random weights, ${layers === null ? "whole" : `${layers} layers: ${why}`}, ${
      size(byteLength)
    }`,
    how: `written at ${decimal(byteLength / taken)}/s in ${time(taken)}`,
    data: { layers, byteLength, seconds: taken },
  });
}

/** How many layers room and time allow; null: all, with whatever else the model has. */
export function layersFor(
  { layers, dir, model, experts, vocab }: ReportOptions,
  { rate, seconds }: { readonly rate: number; readonly seconds: number },
): { readonly layers: number | null; readonly why: string } {
  if (layers !== null) return { layers, why: "as asked for" };
  if (experts !== null || vocab !== null) return { layers: null, why: "" };
  const member = MEMBERS[model];
  const whole = inventory({ member, format: "fp8" }).byteLength;
  const { bavail, bsize } = statfsSync(dir);
  const room = 0.95 * bavail * bsize;
  const possible = Math.min(room, rate * seconds / SLACK);
  if (whole <= possible) return { layers: null, why: "" };
  const fits = Math.floor(member.layers * possible / whole);
  return {
    layers: Math.max(LEAST_LAYERS, Math.min(member.layers, fits)),
    why: room < whole
      ? `${size(room)} of room for ${size(whole)}`
      : `the disk writes ${decimal(rate)}/s, there are ${time(seconds)}`,
  };
}

function diskRate(folder: string): number {
  const file = `${folder}/trial`;
  const piece = new Uint8Array(2 ** 24).fill(1);
  const start = performance.now();
  using handle = Deno.openSync(file, { write: true, create: true, truncate: true });
  for (let written = 0; written < TRIAL_BYTES; written += piece.length) handle.writeSync(piece);
  handle.syncDataSync();
  const seconds = (performance.now() - start) / 1000;
  Deno.removeSync(file);
  return TRIAL_BYTES / seconds;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
