import { MARKER_TEXT, type Segment, type ToolEvent } from "./segment.ts";

/** A segment that is known to be thinking or answer. */
export type SplitSegment =
  | { readonly type: "reasoning" | "content"; readonly text: string }
  | ToolEvent;

/**
 * Splits thinking from the answer. The opening tag is usually in the prompt already, so where the
 * output starts is the caller's knowledge. Thinking is trimmed at both ends; the answer is not.
 */
export class ReasoningSplitter {
  #thinking: boolean;
  /** Whether anything but whitespace came out since the state began. */
  #begun = false;
  #heldSpace = "";

  constructor(thinking: boolean) {
    this.#thinking = thinking;
  }

  /** Hands a segment on. Whitespace within thinking waits for what follows it. */
  push(segment: Segment): SplitSegment[] {
    switch (segment.type) {
      case "text":
        return this.#thinking ? this.#reason(segment.text) : this.#answer(segment.text);
      case "marker":
        return this.#mark(segment.marker);
      default:
        // Some checkpoints call a tool without closing their thinking.
        if (this.#thinking) this.#enter(false);
        return [segment];
    }
  }

  #mark(marker: keyof typeof MARKER_TEXT): SplitSegment[] {
    const text = MARKER_TEXT[marker];
    if (this.#thinking) {
      if (marker === "think_close") return this.#enter(false);
      // A model may repeat the opening tag that the prompt ends with.
      if (marker === "think_open" && !this.#begun) return [];
      return this.#reason(text);
    }
    if (marker === "think_open" && !this.#begun) return this.#enter(true);
    if (marker === "think_close" && !this.#begun) return [];
    return this.#answer(text);
  }

  #enter(thinking: boolean): SplitSegment[] {
    this.#thinking = thinking;
    this.#begun = false;
    this.#heldSpace = "";
    return [];
  }

  #answer(text: string): SplitSegment[] {
    if (text === "") return [];
    this.#begun ||= text.trim() !== "";
    return [{ type: "content", text }];
  }

  #reason(piece: string): SplitSegment[] {
    const text = this.#begun ? this.#heldSpace + piece : piece.trimStart();
    const solid = text.trimEnd();
    this.#heldSpace = text.slice(solid.length);
    if (solid === "") return [];
    this.#begun = true;
    return [{ type: "reasoning", text: solid }];
  }
}
