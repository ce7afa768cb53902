import type { OutputEvent } from "./types.ts";

/** The markup tokens of the family that structure an output. */
export type Marker = "think_open" | "think_close" | "call_open" | "call_close";

/** How each marker reads, and by which name the tokenizer knows it. */
export const MARKER_TEXT: Readonly<Record<Marker, string>> = {
  think_open: "<think>",
  think_close: "</think>",
  call_open: "<tool_call>",
  call_close: "</tool_call>",
};

/** Events of tool calls. */
export type ToolEvent = Extract<OutputEvent, { type: `tool_${string}` }>;

/** What the stages of the output parser hand on: text, markers, and events that are already final. */
export type Segment =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "marker"; readonly marker: Marker }
  | ToolEvent;
