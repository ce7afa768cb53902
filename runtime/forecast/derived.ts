/** Numbers that say where they come from. @module */

/** A number with its formula. */
export interface Derived {
  readonly value: number;
  /** The formula with its numbers, for people. */
  readonly formula: string;
}

/** Decimal units, as data sheets have them. */
export function decimal(bytes: number): string {
  const [unit, name] = bytes >= 1e12
    ? [1e12, "TB"]
    : bytes >= 1e9
    ? [1e9, "GB"]
    : bytes >= 1e6
    ? [1e6, "MB"]
    : [1e3, "kB"];
  return `${digits(bytes / unit)} ${name}`;
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
