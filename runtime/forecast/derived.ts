/** Numbers that say where they come from. @module */

/** A number with its formula. */
export interface Derived {
  readonly value: number;
  /** The formula with its numbers, for people. */
  readonly formula: string;
}

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"]] as const;

/** Decimal units, as data sheets have them, of bytes or of what `name` says. */
export function decimal(value: number, name = "B"): string {
  const [size, prefix] = PREFIXES.find(([size]) => value >= size) ?? [1e3, "k"];
  return `${digits(value / size)} ${prefix}${name}`;
}

/** Seconds for people. */
export function time(seconds: number): string {
  if (seconds >= 100) return `${(seconds / 60).toFixed(1)} min`;
  if (seconds >= 1) return `${digits(seconds)} s`;
  return seconds >= 1e-4 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds * 1e6)} us`;
}

/** A share of one. */
export function percent(share: number): string {
  const value = 100 * share;
  return `${value > 0 && value < 10 ? value.toPrecision(2) : value.toFixed(0)} %`;
}

/** Three digits that count. */
export function digits(value: number): string {
  if (value >= 1000) return String(Math.round(value));
  return value >= 100 ? value.toFixed(0) : value === 0 ? "0" : value.toPrecision(3);
}
