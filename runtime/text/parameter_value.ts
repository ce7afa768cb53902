/** Finds where a parameter's value ends: values are unescaped and may contain anything. @module */

/** The front of a parameter's opening tag. */
export const PARAMETER_OPEN = "<parameter=";
const PARAMETER_CLOSE = "</parameter>";
const FUNCTION_CLOSE = "</function>";
const CALL_CLOSE = "</tool_call>";

/** Where a value ends. */
export interface ValueEnd {
  /** How many characters are certainly the value's. */
  readonly length: number;
  /** Where to read on after the value; null while its end has not come. */
  readonly resume: number | null;
}

/**
 * Looks for the end of a value. A closing tag counts only if another parameter or the function's end
 * follows it, because the value may hold markup itself. Where the model forgot the closing tag, a
 * declared parameter that has not been given yet, or the function's end before the end of the call,
 * ends it too. One line break before the end belongs to the markup.
 * @param missing Declared parameters that have not come yet.
 * @param hard Whether the call ends with this text.
 */
export function findValueEnd(text: string, missing: readonly string[], hard: boolean): ValueEnd {
  for (let at = text.indexOf("<"); at >= 0; at = text.indexOf("<", at + 1)) {
    const end = endsAt(text.slice(at), missing, hard);
    if (end === "no") continue;
    return {
      length: beforeLineBreak(text, at),
      resume: end === "maybe" ? null : at + end,
    };
  }
  return { length: beforeLineBreak(text, text.length), resume: hard ? text.length : null };
}

function beforeLineBreak(text: string, at: number): number {
  return text[at - 1] === "\n" ? at - 1 : at;
}

/** Whether a value ends at the front of this text: how many characters to skip then, or not, or not sure. */
function endsAt(text: string, missing: readonly string[], hard: boolean): number | "no" | "maybe" {
  if (text.startsWith(PARAMETER_CLOSE)) {
    const after = text.slice(PARAMETER_CLOSE.length).trimStart();
    const tags = [PARAMETER_OPEN, FUNCTION_CLOSE];
    if (tags.some((tag) => after.startsWith(tag))) return PARAMETER_CLOSE.length;
    if (!tags.some((tag) => tag.startsWith(after))) return "no";
    return hard ? PARAMETER_CLOSE.length : "maybe";
  }
  for (const tag of [FUNCTION_CLOSE, CALL_CLOSE]) {
    if (!text.startsWith(tag)) continue;
    if (text.slice(tag.length).trim() !== "") return "no";
    return hard ? 0 : "maybe";
  }
  const opens = missing.map((key) => `${PARAMETER_OPEN}${key}>`);
  if (opens.some((open) => text.startsWith(open))) return 0;
  const tags = [PARAMETER_CLOSE, FUNCTION_CLOSE, CALL_CLOSE, ...opens];
  return !hard && tags.some((tag) => tag.startsWith(text)) ? "maybe" : "no";
}
