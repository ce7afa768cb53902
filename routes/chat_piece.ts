/** What a chat answer is made from, and the pieces it comes in: types only. @module */
import type { GenerateRequest, ToolDefinition } from "../runtime/mod.ts";
import type { ChatLogprob } from "./token_text.ts";
import type { TimingsBody, UsageBody } from "./usage.ts";

/** What a chat answer is made from. */
export interface ChatPlan {
  readonly request: GenerateRequest;
  readonly startsInThinking: boolean;
  readonly tools: readonly ToolDefinition[];
  readonly stop: readonly string[];
  /** False ends the answer after its first tool call. */
  readonly parallelToolCalls: boolean;
  readonly tokensById: boolean;
}

/** An entry of a delta's `tool_calls`. */
export interface ToolCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly type?: "function";
  readonly function: { readonly name?: string; readonly arguments: string };
}

/** What one step adds to the message. Thinking goes under both names in use. */
export interface ChatDelta {
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly reasoning?: string;
  readonly tool_calls?: readonly ToolCallDelta[];
}

/** Why a chat answer ended. */
export type ChatFinishReason = "stop" | "length" | "tool_calls";

/** A step of the answer; the last one is its end. `logprobs` is empty unless asked for. */
export type ChatPiece =
  | {
    readonly type: "delta";
    readonly delta: ChatDelta;
    readonly logprobs: readonly ChatLogprob[];
  }
  | {
    readonly type: "end";
    readonly finishReason: ChatFinishReason;
    readonly logprobs: readonly ChatLogprob[];
    readonly usage: UsageBody;
    readonly timings: TimingsBody;
  };
