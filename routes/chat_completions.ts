/** POST /v1/chat/completions. @module */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { give } from "./answer.ts";
import { ownerOf } from "./auth.ts";
import { chatAnswer } from "./chat_answer.ts";
import type { ChatPiece, ChatPlan } from "./chat_piece.ts";
import { type ChatBody, chatRequest } from "./chat_schema.ts";
import { chatChunks, type ChatHead, wholeChat } from "./chat_response.ts";
import { chatCompletion } from "./chat_response_schema.ts";
import { type Conversation, conversationOf } from "./conversation.ts";
import { outputLimit } from "./generation.ts";
import { samplingOf, stopIdsOf, stopStringsOf } from "./sampling.ts";
import { ERROR_RESPONSES } from "./schema.ts";
import { readyModel, type Service } from "./service.ts";
import type { ModelInfo } from "../runtime/mod.ts";

const route = createRoute({
  method: "post",
  path: "/v1/chat/completions",
  summary: "Answer a conversation",
  request: {
    body: { required: true, content: { "application/json": { schema: chatRequest } } },
  },
  responses: {
    200: {
      description: "The answer, or with `stream` its chunks as server-sent events",
      content: {
        "application/json": { schema: chatCompletion },
        "text/event-stream": { schema: { type: "string" } },
      },
    },
    ...ERROR_RESPONSES,
  },
});

/** Mounts the route. */
export function mountChatCompletions(app: OpenAPIHono, service: Service): void {
  app.openapi(route, async (c) => {
    const body = c.req.valid("json");
    const model = await readyModel(service);
    const head: ChatHead = {
      id: `chatcmpl-${crypto.randomUUID().replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: service.options.modelId,
      logprobs: body.logprobs ?? false,
      includeUsage: body.stream_options?.include_usage ?? false,
    };
    return await give<ChatPlan, ChatPiece>(c, service, {
      stream: body.stream ?? false,
      plan: async (signal) => {
        const conversation = await conversationOf(service.text, body, signal);
        return planOf(service, body, conversation, { model, owner: ownerOf(c, body.cache_salt) });
      },
      run: (plan, signal) => chatAnswer(service, plan, signal),
      chunks: (pieces) => chatChunks(pieces, head),
      whole: (pieces) => wholeChat(pieces, head),
      // The route's types know JSON only; an event stream is an answer of its own.
    }) as never;
  });
}

function planOf(
  { text, options }: Service,
  body: ChatBody,
  { encoded, tools }: Conversation,
  { model, owner }: { readonly model: ModelInfo; readonly owner: string },
): ChatPlan {
  const defaults = encoded.startsInThinking ? options.defaults.thinking : options.defaults.instruct;
  const wanted = body.max_completion_tokens ?? body.max_tokens;
  const stop = stopStringsOf(body);
  const parallelToolCalls = body.parallel_tool_calls ?? true;
  const watched = stop.length > 0 || (tools.length > 0 && !parallelToolCalls);
  return {
    request: {
      tokens: encoded.ids,
      sampling: samplingOf(body, defaults, { model, tokens: text.vocabulary }),
      maxTokens: outputLimit({ field: "messages", tokens: encoded.ids, wanted }, model),
      stopIds: stopIdsOf(body, options.stopIds),
      checkpoints: encoded.checkpoints,
      owner,
      ...(watched ? { watched } : {}),
      ...(body.logprobs ? { logprobs: body.top_logprobs ?? 0 } : {}),
    },
    startsInThinking: encoded.startsInThinking,
    tools,
    stop,
    parallelToolCalls,
    tokensById: body.return_tokens_as_token_ids ?? false,
  };
}
