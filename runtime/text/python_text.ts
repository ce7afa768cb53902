/**
 * How Python writes and trims values. Chat templates are written for Python's Jinja, and a model has
 * only ever seen what Python prints: `True`, `1.0`, `{"a": 1}` with spaces.
 * @module
 */
import { UNTOUCHED_KEY } from "./special_text.ts";

// The characters that str.strip() removes: unlike JavaScript's, with U+001C-U+001F and U+0085 but
// without U+FEFF.
const WHITESPACE =
  "\\t\\n\\v\\f\\r\\u001c-\\u001f \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const LEADING = new RegExp(`^[${WHITESPACE}]+`, "u");
// Looked for from the end, because a search from the front is quadratic in long runs of spaces.
const BLANK = new RegExp(`^[${WHITESPACE}]$`, "u");

/** `str.strip`, `str.lstrip` or `str.rstrip`; `chars` are the characters to remove instead of whitespace. */
export function pythonStrip(text: string, side: "both" | "left" | "right", chars?: string): string {
  const set = chars === undefined ? undefined : new Set(chars);
  const removable = (char: string) => set ? set.has(char) : BLANK.test(char);
  let start = 0;
  let end = text.length;
  if (side !== "right") {
    if (set) { while (start < end && removable(text.charAt(start))) start++; }
    else start = LEADING.exec(text)?.[0].length ?? 0;
  }
  if (side !== "left") { while (end > start && removable(text.charAt(end - 1))) end--; }
  return text.slice(start, end);
}

/** `repr(float)`: the shortest digits, with ".0" on whole numbers and exponents outside 1e-4..1e16. */
function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  const power = Number(exponent);
  if (value !== 0 && (power < -4 || power >= 16)) {
    const digits = String(Math.abs(power)).padStart(2, "0");
    return `${mantissa}e${power < 0 ? "-" : "+"}${digits}`;
  }
  const sign = Object.is(value, -0) ? "-" : "";
  const text = sign + String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/**
 * `json.loads`, where numbers that JavaScript would print otherwise (1.0, 1e5, integers beyond 2^53)
 * become `{ [UNTOUCHED_KEY]: text }`. @throws {SyntaxError} if the text is not JSON.
 */
export function pythonJsonParse(text: string): unknown {
  const reviver = (_key: string, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    if (typeof value !== "number" || source === undefined) return value;
    if (/[.eE]/.test(source)) return { [UNTOUCHED_KEY]: pythonFloat(value) };
    return Number.isSafeInteger(value) ? value : { [UNTOUCHED_KEY]: source };
  };
  return JSON.parse(text, reviver);
}

/** A value as the template engine passes it: maps, arrays of boxed values, scalars. */
export type BoxedValue = unknown;

/** `json.dumps(value, ensure_ascii=False)` of a value inside the template engine. */
export function pythonJson(boxed: BoxedValue): string {
  const value = unbox(boxed);
  if (value instanceof Map) {
    if (value.has(UNTOUCHED_KEY)) return String(unbox(value.get(UNTOUCHED_KEY)));
    const entries = [...value].map(([key, item]) => `${JSON.stringify(key)}: ${pythonJson(item)}`);
    return `{${entries.join(", ")}}`;
  }
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  return JSON.stringify(value) ?? "null";
}

/**
 * `str(value)` of a value inside the template engine; containers come out as JSON. The engine does not
 * tell none and undefined apart here: both are None.
 */
export function pythonString(boxed: BoxedValue): string {
  const value = unbox(boxed);
  if (typeof value === "string") return value;
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null || value === undefined) return "None";
  return pythonJson(value);
}

function unbox(boxed: BoxedValue): unknown {
  const box = boxed as { type?: unknown; value?: unknown } | null;
  const isBox = typeof box === "object" && box !== null && typeof box.type === "string" &&
    "value" in box && !(box instanceof Map);
  return isBox ? box.value : boxed;
}
