/**
 * The text side of a request: messages in, token ids out; token ids in, events out. Field names of
 * messages, parts and tools are those of the wire, so that a parsed body can be handed over as it is.
 * @module
 */

/** One part of a message's content. Parts other than text are left to the template. */
export interface ContentPart {
  readonly type: string;
  readonly text?: string | undefined;
  readonly [key: string]: unknown;
}

/** A call in an assistant message; `arguments` is an object, or JSON text that may be malformed. */
export interface MessageToolCall {
  readonly id?: string | undefined;
  readonly type?: string | undefined;
  readonly function: { readonly name: string; readonly arguments?: unknown };
}

/** One message of a conversation. Roles: system, developer, user, assistant, tool. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: string | readonly ContentPart[] | null | undefined;
  readonly reasoning_content?: string | null | undefined;
  readonly tool_calls?: readonly MessageToolCall[] | null | undefined;
  readonly tool_call_id?: string | undefined;
  readonly name?: string | undefined;
}

/** A function the model may call; `parameters` is a JSON schema. */
export interface ToolDefinition {
  readonly type: string;
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    readonly parameters?: unknown;
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

/** How a conversation is rendered. */
export interface RenderOptions {
  /** Functions offered to the model; an empty list is as good as none. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** Absent: the template's own default, which is to think. */
  readonly enableThinking?: boolean | undefined;
  /** Whether the prompt ends where the assistant is to speak; true unless given. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** Further variables for the template (`chat_template_kwargs`). */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** A rendered conversation as token ids. */
export interface EncodedChat {
  readonly ids: number[];
  /**
   * Token counts at which the state is worth keeping, ascending: after the system + tools block,
   * before the last user turn, and before the generation prompt's thinking markup.
   */
  readonly checkpoints: number[];
  /** The rendered text, with special tokens as they read. */
  readonly prompt: string;
  /** Whether the prompt leaves a thinking block open, so that the output starts inside it. */
  readonly startsInThinking: boolean;
}

/** What one pushed id, or the end, brings out. Tool-call arguments are pieces of one JSON text. */
export type OutputEvent =
  | { readonly type: "reasoning"; readonly text: string }
  | { readonly type: "content"; readonly text: string }
  | {
    readonly type: "tool_start";
    readonly index: number;
    readonly id: string;
    readonly name: string;
  }
  | { readonly type: "tool_arguments"; readonly index: number; readonly text: string }
  | { readonly type: "tool_end"; readonly index: number };

/** How a model's output is taken apart. */
export interface OutputOptions {
  /** Whether the output starts inside a thinking block: {@linkcode EncodedChat.startsInThinking}. */
  readonly thinking: boolean;
  /** Schemas that type the arguments of calls. */
  readonly tools?: readonly ToolDefinition[] | undefined;
  /** Strings in the visible answer that end it; thinking and arguments of calls are not searched. */
  readonly stop?: readonly string[] | undefined;
  /** Whether tool calls are recognised; false leaves them in the content. */
  readonly parseTools?: boolean | undefined;
  /** Plain completion: no thinking, no calls, no trimming; the text exactly as generated. */
  readonly raw?: boolean | undefined;
}

/** Takes a model's output apart, id by id. Never throws on any sequence of ids. */
export interface OutputParser {
  /** Events that this id completes; stop ids must not be pushed. */
  push(id: number): OutputEvent[];
  /** What was held back; call once, when no more ids come. */
  finish(): OutputEvent[];
  /** The stop string that was hit; once set, further ids are ignored and generation should end. */
  readonly stopped: string | null;
  /** How many complete calls have come out. */
  readonly toolCalls: number;
  /** Whether the output ended within a call: the answer's finish reason is then "length". */
  readonly cutOff: boolean;
}
