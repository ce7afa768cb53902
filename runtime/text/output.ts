import { Detokenizer } from "./detokenizer.ts";
import { ReasoningSplitter, type SplitSegment } from "./reasoning.ts";
import { type Marker, MARKER_TEXT, type Segment } from "./segment.ts";
import { StopStrings } from "./stop_strings.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { ToolCallParser } from "./tool_calls.ts";
import { toolSchemas } from "./tool_schema.ts";
import type { OutputEvent, OutputOptions, OutputParser } from "./types.ts";

/**
 * Takes an output apart in stages: ids to text and markers, calls out of the text, thinking from the
 * answer, stop strings, trimming. Whole and streamed answers go through the same parser, so that they
 * cannot differ.
 */
export class TextOutput implements OutputParser {
  readonly #detokenizer: Detokenizer;
  readonly #markers: ReadonlyMap<number, Marker>;
  readonly #calls: ToolCallParser | null;
  readonly #reasoning: ReasoningSplitter;
  readonly #stops: StopStrings;
  readonly #raw: boolean;
  /** Whether nothing visible has come yet: leading whitespace is dropped. */
  #atStart = true;
  #heldSpace = "";

  /** @param makeId Names a call; random unless given. */
  constructor(vocabulary: Vocabulary, options: OutputOptions, makeId: () => string = randomCallId) {
    const { thinking, tools = [], stop = [], parseTools = false, raw = false } = options;
    this.#detokenizer = new Detokenizer(vocabulary);
    this.#markers = raw ? new Map() : markerIds(vocabulary, parseTools);
    this.#calls = parseTools && !raw ? new ToolCallParser(toolSchemas(tools), makeId) : null;
    this.#reasoning = new ReasoningSplitter(thinking && !raw);
    this.#stops = new StopStrings(stop);
    this.#raw = raw;
  }

  get stopped(): string | null {
    return this.#stops.hit;
  }

  get toolCalls(): number {
    return this.#calls?.complete ?? 0;
  }

  get cutOff(): boolean {
    return this.#calls?.inCall ?? false;
  }

  push(id: number): OutputEvent[] {
    if (this.stopped !== null) return [];
    const marker = this.#markers.get(id);
    if (marker === undefined) return this.#pass(this.#text(this.#detokenizer.push(id)));
    return this.#pass([
      ...this.#text(this.#detokenizer.flush()),
      ...(this.#calls?.marker(marker) ?? [{ type: "marker", marker } as const]),
    ]);
  }

  finish(): OutputEvent[] {
    const events = this.stopped !== null ? [] : this.#pass([
      ...this.#text(this.#detokenizer.flush()),
      ...(this.#calls?.finish() ?? []),
    ]);
    const rest = this.#visible(this.#stops.flush());
    // Space before or after a call is markup; at the end of a plain answer it is the model's.
    const space = this.toolCalls > 0 || this.cutOff ? "" : this.#heldSpace;
    this.#heldSpace = "";
    return merge([...events, ...rest, ...content(space)]);
  }

  #text(text: string): readonly Segment[] {
    if (text === "") return [];
    return this.#calls?.text(text) ?? [{ type: "text", text }];
  }

  #pass(segments: readonly Segment[]): OutputEvent[] {
    const split = segments.flatMap((segment) => this.#reasoning.push(segment));
    return merge(split.flatMap((segment) => this.#filter(segment)));
  }

  #filter(segment: SplitSegment): OutputEvent[] {
    if (this.stopped !== null) return [];
    if (segment.type === "content") return this.#visible(this.#stops.push(segment.text));
    if (segment.type === "reasoning") return [segment];
    // A stop string does not reach across a call.
    return [...this.#visible(this.#stops.flush()), segment];
  }

  #visible(text: string): OutputEvent[] {
    if (this.#raw) return content(text);
    const all = this.#atStart ? text.trimStart() : this.#heldSpace + text;
    const solid = all.trimEnd();
    this.#heldSpace = all.slice(solid.length);
    if (solid !== "") this.#atStart = false;
    return content(solid);
  }
}

function content(text: string): OutputEvent[] {
  return text === "" ? [] : [{ type: "content", text }];
}

/** Joins neighbouring pieces of one kind, so that an id brings out as few events as can be. */
function merge(events: readonly OutputEvent[]): OutputEvent[] {
  const merged: OutputEvent[] = [];
  for (const event of events) {
    const last = merged.at(-1);
    if (last && "text" in last && "text" in event && last.type === event.type) {
      merged[merged.length - 1] = { ...last, text: last.text + event.text };
    } else {
      merged.push(event);
    }
  }
  return merged;
}

function markerIds(vocabulary: Vocabulary, withCalls: boolean): Map<number, Marker> {
  const wanted: readonly Marker[] = withCalls
    ? ["think_open", "think_close", "call_open", "call_close"]
    : ["think_open", "think_close"];
  const ids = new Map<number, Marker>();
  for (const marker of wanted) {
    const id = vocabulary.idOf(MARKER_TEXT[marker]);
    if (id !== undefined) ids.set(id, marker);
  }
  return ids;
}

function randomCallId(): string {
  return `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
}
