/** The shapes of answers, for the OpenAPI document. @module */
import { z } from "@hono/zod-openapi";

/** The `usage` object. */
export const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  completion_tokens_details: z.object({ reasoning_tokens: z.int() }),
}).openapi("Usage");

/** The `timings` object. */
const timingsSchema = z.object({
  cache_n: z.int(),
  prompt_n: z.int(),
  prompt_ms: z.number(),
  prompt_per_second: z.number(),
  predicted_n: z.int(),
  predicted_ms: z.number(),
  predicted_per_second: z.number(),
}).openapi("Timings");

const scored = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()),
});

/** What POST /v1/chat/completions answers. */
export const chatCompletion = z.object({
  id: z.string(),
  object: z.literal("chat.completion"),
  created: z.int(),
  model: z.string(),
  choices: z.array(z.object({
    index: z.int(),
    message: z.object({
      role: z.literal("assistant"),
      content: z.string().nullable(),
      refusal: z.null(),
      reasoning_content: z.string().optional(),
      reasoning: z.string().optional(),
      tool_calls: z.array(z.object({
        id: z.string(),
        type: z.literal("function"),
        function: z.object({ name: z.string(), arguments: z.string() }),
      })).optional(),
    }),
    logprobs: z.object({
      content: z.array(scored.extend({ top_logprobs: z.array(scored) })),
      refusal: z.null(),
    }).nullable(),
    finish_reason: z.enum(["stop", "length", "tool_calls"]),
  })),
  usage: usageSchema,
  timings: timingsSchema,
}).openapi("ChatCompletion");
