/** A request's conversation, rendered and encoded. @module */
import {
  type ChatMessage,
  type EncodedChat,
  TemplateError,
  type ToolDefinition,
} from "../runtime/mod.ts";
import type { ConversationBody } from "./chat_schema.ts";
import { RequestError } from "./errors.ts";
import type { Text } from "./service.ts";

/** The conversation as tokens, and what is needed to read the answer. */
export interface Conversation {
  readonly encoded: EncodedChat;
  /** The tools on offer; none if the request forbids calls. */
  readonly tools: readonly ToolDefinition[];
}

/**
 * Renders and encodes a conversation, unless `signal` is aborted first.
 * @throws {RequestError} 400 if the model has no chat template, or the template refuses the messages.
 */
export async function conversationOf(
  text: Text,
  body: ConversationBody,
  signal: AbortSignal,
): Promise<Conversation> {
  if (!text.hasTemplate) {
    throw new RequestError(
      400,
      text.vocabulary.size === 0
        ? "Cannot chat: this model's snapshot has no tokenizer.json, send token ids to /v1/completions"
        : "Cannot chat: this model's snapshot has no chat template, use /v1/completions",
      { code: "no_chat_template", param: "messages" },
    );
  }
  const tools = body.tool_choice === "none" ? [] : (body.tools ?? []).map(toolOf);
  const enableThinking = thinkingOf(body);
  const messages = body.messages.map(messageOf);
  try {
    const encoded = await text.encodeChat(messages, { tools, enableThinking }, signal);
    return { encoded, tools };
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new RequestError(400, error.message, { code: "invalid_value", param: "messages" });
  }
}

function messageOf(message: ConversationBody["messages"][number]): ChatMessage {
  const { reasoning_content, reasoning, name, tool_call_id, tool_calls } = message;
  return {
    ...message,
    reasoning_content: reasoning_content ?? reasoning,
    name: name ?? undefined,
    tool_call_id: tool_call_id ?? undefined,
    tool_calls: tool_calls?.map(({ id, function: called }) => ({
      id: id ?? undefined,
      function: called,
    })),
  };
}

/** A tool without the members of its function that are null: the template would show them to the model. */
function toolOf(tool: NonNullable<ConversationBody["tools"]>[number]): ToolDefinition {
  const members = Object.entries(tool.function).filter(([, value]) => value !== null);
  return { ...tool, function: Object.fromEntries(members) as ToolDefinition["function"] };
}

function thinkingOf(body: ConversationBody): boolean | undefined {
  const asked = body.chat_template_kwargs?.enable_thinking ?? body.enable_thinking;
  if (asked !== null && asked !== undefined) return asked;
  return body.reasoning_effort === "none" ? false : undefined;
}
