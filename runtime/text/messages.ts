/** Brings a caller's messages into the shape that chat templates accept. @module */
import { pythonJsonParse } from "./python_text.ts";
import type { SpecialText } from "./special_text.ts";
import type { ChatMessage, ContentPart, MessageToolCall } from "./types.ts";

/** A message as a template sees it. */
export type TemplateMessage = Readonly<Record<string, unknown>>;

/**
 * Messages for a template. System and developer messages, wherever they stand, are joined into one at
 * the front, and a conversation without a user gets an empty user turn: templates of the family refuse
 * both. Arguments given as JSON text become objects. Text is escaped: everything but the markup that an
 * assistant's turn may carry, such as `</think>`.
 * @param control Escapes all special tokens.
 * @param markup Escapes only those that an assistant's own text never carries.
 */
export function templateMessages(
  messages: readonly ChatMessage[],
  control: SpecialText,
  markup: SpecialText,
): TemplateMessage[] {
  const isSystem = ({ role }: ChatMessage) => role === "system" || role === "developer";
  const system = messages.filter(isSystem);
  const rest = messages.filter((message) => !isSystem(message));
  const result: TemplateMessage[] = [];
  if (system.length > 0) {
    const content = joinContents(system.map(({ content }) => flatten(content)));
    result.push({ role: "system", content: control.escapeDeep(content) });
  }
  const wantsUser = messages.length > 0 && !rest.some(({ role }) => role === "user");
  if (wantsUser) result.push({ role: "user", content: "" });
  for (const message of rest) {
    result.push(
      message.role === "assistant" ? assistantMessage(message, control, markup) : {
        ...plainFields(message, control),
        content: control.escapeDeep(flatten(message.content)),
      },
    );
  }
  return result;
}

/** Text parts become one string; with any other part among them they stay parts. */
function flatten(content: ChatMessage["content"]): string | readonly ContentPart[] {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  const isText = (part: ContentPart) => typeof part.text === "string";
  return content.every(isText) ? content.map((part) => part.text).join("") : content;
}

function joinContents(
  contents: readonly (string | readonly ContentPart[])[],
): string | readonly ContentPart[] {
  const filled = contents.filter((content) => content.length > 0);
  if (filled.every((content) => typeof content === "string")) return filled.join("\n\n");
  return filled.flatMap((content) =>
    typeof content === "string" ? [{ type: "text", text: content }] : content
  );
}

function plainFields({ role, name, tool_call_id }: ChatMessage, control: SpecialText) {
  return {
    role: control.escape(role),
    ...(name === undefined ? {} : { name: control.escape(name) }),
    ...(tool_call_id === undefined ? {} : { tool_call_id: control.escape(tool_call_id) }),
  };
}

function assistantMessage(
  message: ChatMessage,
  control: SpecialText,
  markup: SpecialText,
): TemplateMessage {
  const { reasoning_content: reasoning, tool_calls: calls } = message;
  return {
    ...plainFields(message, control),
    content: markup.escapeDeep(flatten(message.content)),
    ...(typeof reasoning === "string" ? { reasoning_content: control.escape(reasoning) } : {}),
    ...(calls && calls.length > 0
      ? { tool_calls: calls.map((call) => templateCall(call, control)) }
      : {}),
  };
}

function templateCall(call: MessageToolCall, control: SpecialText): TemplateMessage {
  const { name, arguments: args } = call.function;
  return {
    type: "function",
    ...(call.id === undefined ? {} : { id: control.escape(call.id) }),
    function: {
      name: control.escape(name),
      arguments: control.escapeDeep(argumentsObject(args)),
    },
  };
}

/** A history may hold a call that was cut off: what is not an object is shown under one name. */
function argumentsObject(args: unknown): unknown {
  const value = typeof args === "string" ? parseArguments(args) : args;
  if (value === null || value === undefined) return {};
  return typeof value === "object" && !Array.isArray(value) ? value : { arguments: args };
}

function parseArguments(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return pythonJsonParse(text);
  } catch {
    return text;
  }
}
