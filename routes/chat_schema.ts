/** What a chat request may be: schema, checks and documentation in one. @module */
import { z } from "@hono/zod-openapi";
import { SAMPLING_FIELDS, shallow, tokenLimit } from "./schema.ts";
import { refuseUnbuilt, UNBUILT_CHAT, unbuiltNames } from "./unbuilt.ts";

const MAX_MESSAGES = 4096;
const MAX_TOOLS = 256;
const MAX_TOOL_CALLS = 256;

const part = z.looseObject({ type: z.string(), text: z.string().optional() })
  .superRefine((value, context) => {
    if (value.type !== "text") {
      context.addIssue({
        code: "custom",
        path: ["type"],
        message: `only "text" parts are supported by this server, found "${value.type}"`,
      });
    } else if (value.text === undefined) {
      context.addIssue({ code: "custom", path: ["text"], message: "a text part needs it" });
    }
  });

const jsonObject = z.record(z.string(), z.unknown());

const toolCall = z.looseObject({
  id: z.string().max(256).nullish(),
  type: z.literal("function").nullish(),
  function: z.looseObject({
    name: z.string().max(256),
    arguments: z.union([z.string(), jsonObject]).nullish()
      .openapi({ description: "JSON text; malformed text is shown to the model as it is" }),
  }),
});

const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(part).max(MAX_MESSAGES)]).nullish(),
  reasoning_content: z.string().nullish(),
  reasoning: z.string().nullish().openapi({ description: "The same as reasoning_content" }),
  tool_calls: z.array(toolCall).max(MAX_TOOL_CALLS).nullish(),
  tool_call_id: z.string().max(256).nullish(),
  name: z.string().max(256).nullish(),
}).superRefine(({ role, content }, context) => {
  if (role !== "assistant" && (content === undefined || content === null)) {
    context.addIssue({
      code: "custom",
      path: ["content"],
      message: `a message of role "${role}" needs it`,
    });
  }
});

const tool = z.looseObject({
  type: z.literal("function"),
  function: z.looseObject({
    // The name stands between < and > in the model's markup.
    name: z.string().regex(/^[^\s<>]{1,128}$/, "1 to 128 characters, no spaces, no < or >"),
    description: z.string().nullish(),
    parameters: jsonObject.nullish().openapi({ description: "A JSON schema" }),
  }),
});

/** The fields that render a conversation, where null is as good as nothing: many clients write out all they know; /apply-template takes no others. */
export const CONVERSATION_FIELDS = {
  messages: z.array(shallow(message)).min(1).max(MAX_MESSAGES),
  tools: z.array(shallow(tool)).max(MAX_TOOLS).nullish(),
  tool_choice: z.unknown().superRefine((choice, context) => {
    if ([undefined, null, "auto", "none"].includes(choice as string)) return;
    context.addIssue({
      code: "custom",
      message: `only "auto" or "none" is supported by this server`,
    });
  }).optional().openapi({ type: "string", enum: ["auto", "none"] }),
  chat_template_kwargs: z.looseObject({ enable_thinking: z.boolean().nullish() }).nullish(),
  enable_thinking: z.boolean().nullish()
    .openapi({ description: "The same as in chat_template_kwargs, which wins" }),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish()
    .openapi({ description: "none turns thinking off; the others leave it as it is" }),
};

/** What renders a conversation. */
export type ConversationBody = z.infer<z.ZodObject<typeof CONVERSATION_FIELDS>>;

/** The body of POST /v1/chat/completions. */
export const chatRequest = z.looseObject({
  ...SAMPLING_FIELDS,
  ...CONVERSATION_FIELDS,
  max_tokens: tokenLimit(1).openapi({ description: "The same as max_completion_tokens" }),
  max_completion_tokens: tokenLimit(1)
    .openapi({ description: "Thinking included; cut to what the context has room for" }),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  parallel_tool_calls: z.boolean().nullish()
    .openapi({ description: "false ends the answer after its first call" }),
  response_format: z.looseObject({ type: z.string() }).nullish()
    .refine((format) => !format || format.type === "text", {
      message: `only {"type": "text"} is supported by this server`,
    }),
  modalities: z.array(z.string()).nullish()
    .refine((kinds) => !kinds || kinds.every((kind) => kind === "text"), {
      message: `only ["text"] is supported by this server`,
    }),
}).superRefine(refuseUnbuilt(UNBUILT_CHAT)).superRefine((body, context) => {
  if (body.top_logprobs && !body.logprobs) {
    context.addIssue({
      code: "custom",
      path: ["top_logprobs"],
      message: "needs logprobs to be true",
    });
  }
}).openapi("ChatCompletionRequest", {
  description:
    "Fields that are not listed are ignored, save those that ask for something that is " +
    `not built, which are refused by name: ${unbuiltNames(UNBUILT_CHAT)}`,
});

/** A checked chat request. */
export type ChatBody = z.infer<typeof chatRequest>;
