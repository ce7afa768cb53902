import { findValueEnd, PARAMETER_OPEN } from "./parameter_value.ts";
import { type Marker, MARKER_TEXT, type Segment } from "./segment.ts";
import { isText, type ToolSchemas, typedJson } from "./tool_schema.ts";

const FUNCTION_OPEN = "<function=";
const FUNCTION_CLOSE = "</function>";
/** Longer names are not names: what was held back comes out as text. */
const MAX_NAME_LENGTH = 256;
/** An end tag after which nothing came: the model forgot the inner ones. */
const FORGOTTEN_END = /<\/tool_call>\s*$/;

/** One call being read. */
interface Call {
  readonly index: number;
  readonly types: ReadonlyMap<string, ReadonlySet<string>>;
  readonly seen: Set<string>;
}

/**
 * Where the parser stands. `opening`: after `<tool_call>`, whose text is kept in case no function
 * follows; `body`: within a function, between parameters; `value`: within a parameter.
 */
type State =
  | { readonly at: "outside" }
  | { readonly at: "opening"; readonly rejected: string }
  | { readonly at: "body"; readonly call: Call }
  | {
    readonly at: "value";
    readonly call: Call;
    readonly types: ReadonlySet<string> | undefined;
    readonly begun: boolean;
  };

const OUTSIDE: State = { at: "outside" };

/**
 * Reads `<tool_call><function=NAME><parameter=KEY>value</parameter></function></tool_call>` as it comes
 * and turns it into events whose arguments concatenate to one JSON object. The outer tags are tokens of
 * their own and come as markers; the inner ones are text. Whatever is no call comes out as text again.
 */
export class ToolCallParser {
  readonly #schemas: ToolSchemas;
  readonly #makeId: () => string;
  #state: State = OUTSIDE;
  #buffer = "";
  /** What is certain of a value that cannot be passed on before it is complete. */
  #value = "";
  #started = 0;
  #ended = 0;
  /** Whether a `</tool_call>` is still owed for calls that were accepted. */
  #owesClose = false;
  #out: Segment[] = [];

  constructor(schemas: ToolSchemas, makeId: () => string) {
    this.#schemas = schemas;
    this.#makeId = makeId;
  }

  /** How many calls are complete. */
  get complete(): number {
    return this.#ended;
  }

  /** Whether a call has started and not ended. */
  get inCall(): boolean {
    return this.#state.at === "body" || this.#state.at === "value";
  }

  /** Events that this text completes. */
  text(text: string): Segment[] {
    this.#buffer += text;
    while (this.#step(false));
    return this.#take();
  }

  /** Events that this marker completes. */
  marker(marker: Marker): Segment[] {
    if (!this.#isMarkup(marker)) return this.text(MARKER_TEXT[marker]);
    this.#closeOpenEnds(marker);
    if (marker === "call_open") {
      this.#state = { at: "opening", rejected: MARKER_TEXT.call_open };
      this.#owesClose = false;
    } else if (marker === "call_close" && this.#owesClose) {
      this.#owesClose = false;
    } else {
      this.#out.push({ type: "marker", marker });
    }
    return this.#take();
  }

  /** What was held back at the end of the output. A call that was cut off stays without an end. */
  finish(): Segment[] {
    const forgotten = this.#state.at === "value" && FORGOTTEN_END.test(this.#buffer);
    if (forgotten || !this.inCall) this.#closeOpenEnds(null);
    return this.#take();
  }

  /** Whether a marker is structure here, and not text within a call. */
  #isMarkup(marker: Marker): boolean {
    if (!this.inCall) return true;
    if (this.#state.at === "body") return marker === "call_open" || marker === "call_close";
    // A value may quote the markup itself; it is over only where an inner tag was closed before, or
    // where the end tag has come and a new call opens.
    return (marker === "call_close" && /<\/(parameter|function)>\s*$/.test(this.#buffer)) ||
      (marker === "call_open" && FORGOTTEN_END.test(this.#buffer));
  }

  /** Ends what is open, since nothing more belongs to it. */
  #closeOpenEnds(marker: Marker | null): void {
    if (this.#state.at === "value") this.#buffer = this.#buffer.replace(FORGOTTEN_END, "");
    while (this.#step(true));
    if (this.inCall) this.#endCall();
    if (this.#state.at === "opening") this.#leaveOpening(marker);
  }

  #take(): Segment[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Takes what is certain off the buffer. `hard`: no more text comes. @returns Whether to go on. */
  #step(hard: boolean): boolean {
    const state = this.#state;
    switch (state.at) {
      case "outside":
        return this.#emitText(this.#buffer.length);
      case "opening":
        return this.#stepOpening(state.rejected);
      case "body":
        return this.#stepBody(state.call);
      case "value":
        return this.#stepValue(state, hard);
      default:
        return state satisfies never;
    }
  }

  /** Moves the front of the buffer out as text. @returns Whether there was any. */
  #emitText(length: number): boolean {
    if (length === 0) return false;
    this.#out.push({ type: "text", text: this.#buffer.slice(0, length) });
    this.#buffer = this.#buffer.slice(length);
    return true;
  }

  #stepOpening(rejected: string): boolean {
    const text = this.#buffer.trimStart();
    const name = tagName(text, FUNCTION_OPEN);
    if (name === undefined) return false;
    if (name === null) {
      this.#buffer = rejected + this.#buffer;
      this.#state = OUTSIDE;
      return true;
    }
    this.#buffer = text.slice(text.indexOf(">") + 1);
    const types = this.#schemas.get(name) ?? new Map();
    const call = { index: this.#started++, types, seen: new Set<string>() };
    this.#out.push({ type: "tool_start", index: call.index, id: this.#makeId(), name });
    this.#state = { at: "body", call };
    this.#owesClose = true;
    return true;
  }

  #stepBody(call: Call): boolean {
    const text = this.#buffer.trimStart();
    if (text.startsWith(FUNCTION_CLOSE)) {
      this.#buffer = text.slice(FUNCTION_CLOSE.length);
      this.#endCall();
      return true;
    }
    const key = tagName(text, PARAMETER_OPEN);
    if (key === undefined || FUNCTION_CLOSE.startsWith(text)) return false;
    if (key === null) {
      // Not a parameter: up to the next tag it is text, as anything that does not parse.
      const space = this.#buffer.length - text.length;
      const next = text.indexOf("<", 1);
      return this.#emitText(space + text.slice(0, next < 0 ? undefined : next).trimEnd().length);
    }
    this.#buffer = text.slice(text.indexOf(">") + 1);
    const types = call.types.get(key);
    const quote = isText(types) ? '"' : "";
    const comma = call.seen.size === 0 ? "{" : ", ";
    this.#emitArguments(call, `${comma}${JSON.stringify(key)}: ${quote}`);
    call.seen.add(key);
    this.#value = "";
    this.#state = { at: "value", call, types, begun: false };
    return true;
  }

  #stepValue(state: Extract<State, { at: "value" }>, hard: boolean): boolean {
    const { call, types } = state;
    if (!state.begun) {
      if (this.#buffer === "" && !hard) return false;
      // Exactly one line break belongs to the markup.
      if (this.#buffer.startsWith("\n")) this.#buffer = this.#buffer.slice(1);
      this.#state = { ...state, begun: true };
      return true;
    }
    const missing = [...call.types.keys()].filter((key) => !call.seen.has(key));
    const found = findValueEnd(this.#buffer, missing, hard);
    const value = this.#buffer.slice(0, found.length);
    if (isText(types)) this.#emitArguments(call, JSON.stringify(value).slice(1, -1));
    else this.#value += value;
    this.#buffer = this.#buffer.slice(found.resume ?? found.length);
    if (found.resume === null) return false;
    this.#emitArguments(call, isText(types) ? '"' : typedJson(this.#value, types!));
    this.#state = { at: "body", call };
    return true;
  }

  #emitArguments(call: Call, text: string): void {
    if (text !== "") this.#out.push({ type: "tool_arguments", index: call.index, text });
  }

  #endCall(): void {
    const state = this.#state;
    if (state.at !== "body" && state.at !== "value") return;
    this.#emitArguments(state.call, state.call.seen.size === 0 ? "{}" : "}");
    this.#out.push({ type: "tool_end", index: state.call.index });
    this.#ended++;
    // Another function may follow within the same pair of tags.
    this.#state = { at: "opening", rejected: "" };
  }

  /** No function follows: what waited for one is text, unless it is the space before the end tag. */
  #leaveOpening(marker: Marker | null): void {
    const rejected = this.#state.at === "opening" ? this.#state.rejected : "";
    this.#buffer = rejected + this.#buffer;
    this.#state = OUTSIDE;
    const isSpace = this.#buffer.trim() === "";
    if (isSpace && this.#owesClose && (marker === "call_close" || marker === null)) {
      this.#buffer = "";
    }
    this.#emitText(this.#buffer.length);
  }
}

/** The name in a tag at the front of the text: undefined if more text could complete it, null if none. */
function tagName(text: string, open: string): string | null | undefined {
  if (!text.startsWith(open)) return open.startsWith(text) ? undefined : null;
  const end = text.indexOf(">");
  const name = text.slice(open.length, end < 0 ? undefined : end);
  if (name.length > MAX_NAME_LENGTH || name.includes("\n")) return null;
  if (end < 0) return undefined;
  return name.trim() === "" ? null : name.trim();
}
