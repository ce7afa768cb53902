/** Which kernels a device takes, from what was measured, and how that is remembered. @module */
import { PRODUCT_VARIANTS } from "../../shaders/common/variants.ts";
import { DeviceNotes } from "../device_notes.ts";

/** What one variant takes, in milliseconds a dispatch. */
export interface VariantTime {
  readonly name: string;
  /** For one row of x. */
  readonly one: number;
  /** For four. */
  readonly four: number;
}

/** What was measured on one device. */
export interface Choice {
  readonly name: string;
  /** Of every variant that was measured and computed right. */
  readonly times: readonly VariantTime[];
}

/** How much faster than the default a variant has to be: less may be chance. */
const BAR = 0.97;

/** What the variants are ranked by: milliseconds a row, of one alone and of one among four. */
export function cost({ one, four }: VariantTime): number {
  return one + four / 4;
}

/** The variant to take: the fastest, or `fallback` where none is clearly faster than it. */
export function chooseVariant(times: readonly VariantTime[], fallback: string): string {
  const fastest = times.toSorted((a, b) => cost(a) - cost(b))[0];
  if (!fastest) return fallback;
  const usual = times.find(({ name }) => name === fallback);
  return usual && cost(fastest) > BAR * cost(usual) ? fallback : fastest.name;
}

/** The choice as a line for people. */
export function choiceLine({ name, times }: Choice, source: string): string {
  const chosen = times.find((time) => time.name === name);
  const figures = chosen
    ? ` (${chosen.one.toFixed(3)} ms for one row, ${chosen.four.toFixed(3)} for four)`
    : "";
  return `kernels: ${name}, ${source}${figures}`;
}

/** The choices that runs with this folder have made. */
export function choiceNotes(cacheDir: string): DeviceNotes<Choice> {
  return new DeviceNotes(choiceFile(cacheDir), { format: "deltapage-kernels-2", isNote: isChoice });
}

/** Where they are kept. */
export function choiceFile(cacheDir: string): string {
  return `${cacheDir}/kernels.json`;
}

function isChoice(value: unknown): value is Choice {
  const { name, times } = (value ?? {}) as { name?: unknown; times?: unknown };
  return PRODUCT_VARIANTS.some((variant) => variant.name === name) &&
    Array.isArray(times) && times.every(isTime);
}

function isTime(value: unknown): value is VariantTime {
  const { name, one, four } = (value ?? {}) as Record<string, unknown>;
  return typeof name === "string" && [one, four].every((ms) => typeof ms === "number" && ms >= 0);
}
