/** What a part of the report found: one line of JSON at a time, so that a part that is cut short loses nothing. @module */

/** Sections of the report, in order. */
export const SECTIONS = {
  machine: "Machine",
  correctness: "Correctness",
  limits: "What the device does at most",
  paging: "Ways to page an expert in",
  speed: "The model",
  peer: "Beside llama.cpp",
  questions: "Open questions",
} as const;

/** Questions that only a real GPU answers, with the part that does. */
export const QUESTIONS = [
  ["(a)", "features, subgroups and f16 among them", "adapter"],
  ["(b)", "read-back of a small result", "limits"],
  ["(c)", "e4m3 codes by A2, B2 and D, subnormals among them", "limits"],
  ["(d)", "kernels that read the host's memory", "paging"],
  ["(e)", "floor of a dispatch", "limits"],
  ["(f)", "GB/s of the FP8 products", "limits"],
  ["(g)", "upload, and whether copies stall kernels", "paging"],
  ["(h)", "what bounding a loop costs", "limits"],
  ["(i)", "longest submission", "submits"],
] as const;

/** A section's key. */
export type Section = keyof typeof SECTIONS;

/** One line of the report. */
export interface Finding {
  readonly section: Section;
  readonly name: string;
  /** For people, with units. */
  readonly found: string;
  /** How it was measured or computed. */
  readonly how?: string;
  /** Numbers in base units: bytes, seconds, and both a second. */
  readonly data?: Readonly<Record<string, number | string | boolean | null>>;
}

/** Where a part puts what it finds. */
export type Report = (finding: Finding) => void;

/** The finding of a line, or null where the line is none. */
export function parseFinding(line: string): Finding | null {
  if (!line.startsWith("{")) return null;
  try {
    const value = JSON.parse(line) as Finding;
    return Object.hasOwn(SECTIONS, value.section) ? value : null;
  } catch {
    return null;
  }
}
