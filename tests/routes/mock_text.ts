/** A text side of one id a byte and a handful of special tokens, for tests of the HTTP side. @module */
import {
  type ChatMessage,
  type EncodedChat,
  type OutputEvent,
  type OutputOptions,
  type OutputParser,
  type RenderOptions,
  TemplateError,
} from "../../runtime/mod.ts";
import { setTimeout as delay } from "node:timers/promises";
import type { Text, Tokens } from "../../routes/service.ts";

const SPECIALS = [
  "<|im_start|>",
  "<|im_end|>",
  "<think>",
  "</think>",
  "<tool_call>",
  "</tool_call>",
] as const;

/** Ids of the special tokens. */
export const ID = {
  imStart: 256,
  imEnd: 257,
  think: 258,
  endThink: 259,
  toolCall: 260,
  endToolCall: 261,
} as const;

/** One id a byte. */
export class MockTokens implements Tokens {
  readonly size = 256 + SPECIALS.length;

  encode(text: string, { special }: { special: boolean }): number[] {
    if (!special) return [...new TextEncoder().encode(text)];
    const pattern = new RegExp(`(${SPECIALS.map((one) => one.replaceAll("|", "\\|")).join("|")})`);
    return text.split(pattern).flatMap((piece) => {
      const id = this.idOf(piece);
      return id === undefined ? this.encode(piece, { special: false }) : [id];
    });
  }

  decode(ids: readonly number[], { skipSpecial }: { skipSpecial: boolean }): string {
    const bytes = ids.flatMap((id) => skipSpecial && id > 255 ? [] : [...this.pieceBytes(id)]);
    return new TextDecoder().decode(new Uint8Array(bytes));
  }

  pieceBytes(id: number): Uint8Array {
    return id < 256 ? Uint8Array.of(id) : new TextEncoder().encode(SPECIALS[id - 256] ?? "");
  }

  idOf(token: string): number | undefined {
    const index = SPECIALS.findIndex((one) => one === token);
    return index < 0 ? undefined : 256 + index;
  }
}

/** Text of `tokens` as ids; special tokens where they are written out. */
export function ids(text: string): number[] {
  return new MockTokens().encode(text, { special: true });
}

/** Renders `role:content` lines; thinks unless told not to; calls are `name{json}` between their two ids. */
export class MockText implements Text {
  readonly vocabulary = new MockTokens();
  hasTemplate = true;
  readonly rendered: { messages: readonly ChatMessage[]; options: RenderOptions }[] = [];

  /** How long encoding a conversation takes; an abort ends it at once. */
  encodeMs = 0;

  async encodeChat(
    messages: readonly ChatMessage[],
    options: RenderOptions,
    signal?: AbortSignal,
  ): Promise<EncodedChat> {
    if (this.encodeMs > 0) {
      await delay(this.encodeMs, undefined, signal ? { signal } : {}).catch(() => {});
      signal?.throwIfAborted();
    }
    this.rendered.push({ messages, options });
    if (!messages.some(({ role }) => role === "user")) {
      throw new TemplateError("Cannot render messages: No user query found in messages.");
    }
    const thinking = options.enableThinking ?? true;
    const prompt = messages.map(({ role, content }) => `${role}:${flat(content)}\n`).join("") +
      (thinking ? "<think>" : "");
    const encoded = ids(prompt);
    return { ids: encoded, checkpoints: [1], prompt, startsInThinking: thinking };
  }

  encode(text: string, options: { special: boolean }): Promise<number[]> {
    return Promise.resolve(this.vocabulary.encode(text, options));
  }

  decode(ids: readonly number[], options: { skipSpecial: boolean }): Promise<string> {
    return Promise.resolve(this.vocabulary.decode(ids, options));
  }

  createOutput(options: OutputOptions): OutputParser {
    return new MockParser(options, this.vocabulary);
  }
}

class MockParser implements OutputParser {
  readonly #options: OutputOptions;
  readonly #tokens: MockTokens;
  #thinking: boolean;
  #call: number[] | null = null;
  #held = "";
  #decoder = new TextDecoder();
  stopped: string | null = null;
  toolCalls = 0;

  constructor(options: OutputOptions, tokens: MockTokens) {
    this.#options = options;
    this.#tokens = tokens;
    this.#thinking = options.thinking;
  }

  get cutOff(): boolean {
    return this.#call !== null;
  }

  push(id: number): OutputEvent[] {
    if (this.stopped !== null) return [];
    if (!this.#options.raw) {
      if (id === ID.endThink) return [...this.#flush(), ...this.#endThinking()];
      if (id === ID.toolCall && this.#options.parseTools) {
        this.#call = [];
        return this.#flush();
      }
      if (id === ID.endToolCall && this.#call) return this.#endCall(this.#call);
      if (this.#call) {
        this.#call.push(id);
        return [];
      }
    }
    this.#held += this.#decoder.decode(this.#tokens.pieceBytes(id), { stream: true });
    return this.#release();
  }

  finish(): OutputEvent[] {
    this.#held += this.#decoder.decode();
    return this.#flush();
  }

  #endThinking(): OutputEvent[] {
    this.#thinking = false;
    return [];
  }

  #endCall(call: number[]): OutputEvent[] {
    const text = this.#tokens.decode(call, { skipSpecial: false });
    const brace = text.indexOf("{");
    const index = this.toolCalls++;
    this.#call = null;
    return [
      { type: "tool_start", index, id: `call_${index}`, name: text.slice(0, brace) },
      { type: "tool_arguments", index, text: text.slice(brace, brace + 2) },
      { type: "tool_arguments", index, text: text.slice(brace + 2) },
      { type: "tool_end", index },
    ];
  }

  #release(): OutputEvent[] {
    const stops = this.#thinking ? [] : this.#options.stop ?? [];
    const hit = stops.find((stop) => this.#held.includes(stop));
    if (hit !== undefined) {
      this.#held = this.#held.slice(0, this.#held.indexOf(hit));
      this.stopped = hit;
      return this.#flush();
    }
    const held = Math.max(0, ...stops.map((stop) => overlap(this.#held, stop)));
    const out = this.#held.slice(0, this.#held.length - held);
    this.#held = this.#held.slice(out.length);
    return this.#event(out);
  }

  #flush(): OutputEvent[] {
    const text = this.#held;
    this.#held = "";
    return this.#event(text);
  }

  #event(text: string): OutputEvent[] {
    return text === "" ? [] : [{ type: this.#thinking ? "reasoning" : "content", text }];
  }
}

/** How many characters at the end of `text` may begin `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (stop.startsWith(text.slice(-length))) return length;
  }
  return 0;
}

function flat(content: ChatMessage["content"]): string {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : content.map((part) => part.text ?? "").join("");
}
