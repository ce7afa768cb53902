/** Which kernels a device takes, from what was measured, and how that is remembered. @module */
import { PRODUCT_VARIANTS } from "../../shaders/common/variants.ts";
import { replaceFile } from "../replace_file.ts";

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

/** What a measurement holds for: another device, driver, Deno or kernel asks for another one. */
export interface ChoiceKey {
  readonly adapter: string;
  readonly driver: string;
  readonly deno: string;
  /** Counts changes of the kernels after which a measurement no longer says anything. */
  readonly kernels: number;
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

/** The file of a folder. */
export function choiceFile(cacheDir: string): string {
  return `${cacheDir}/kernels.json`;
}

/**
 * The choice that an earlier run left for this key; null if it left none.
 * @throws {SyntaxError | TypeError | Error} if the file is damaged or cannot be read
 */
export function readChoice(file: string, key: ChoiceKey): Choice | null {
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
  return parseChoices(text).get(keyOf(key)) ?? null;
}

/** Adds a choice to those of the file, which is made if it is missing and replaced if it is damaged. */
export function writeChoice(file: string, key: ChoiceKey, choice: Choice): void {
  let choices = new Map<string, Choice>();
  try {
    choices = parseChoices(Deno.readTextFileSync(file));
  } catch { /* nothing to keep */ }
  choices.delete(keyOf(key));
  choices.set(keyOf(key), choice);
  const kept = Object.fromEntries([...choices].slice(-MOST_KEPT));
  replaceFile(file, JSON.stringify({ format: FORMAT, choices: kept }, null, 1));
}

const FORMAT = "deltapage-kernels-1";

/** Devices and versions that one file remembers. */
const MOST_KEPT = 16;

function keyOf({ adapter, driver, deno, kernels }: ChoiceKey): string {
  return [adapter, driver, `deno ${deno}`, `kernels ${kernels}`].join(" | ");
}

function parseChoices(text: string): Map<string, Choice> {
  const { format, choices } = JSON.parse(text) as { format?: unknown; choices?: unknown };
  if (format !== FORMAT || typeof choices !== "object" || choices === null) {
    throw new TypeError(`found format ${JSON.stringify(format)}, wanted "${FORMAT}"`);
  }
  const entries = Object.entries(choices);
  for (const [key, choice] of entries) {
    if (!isChoice(choice)) throw new TypeError(`found no choice of kernels for "${key}"`);
  }
  return new Map(entries as [string, Choice][]);
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
