/** What a plain completion may be asked for, and what it answers: schema, checks and documentation in one. @module */
import { z } from "@hono/zod-openapi";
import { usageSchema } from "./chat_response_schema.ts";
import { idList, SAMPLING_FIELDS, tokenLimit } from "./schema.ts";
import { refuseUnbuilt, UNBUILT_COMPLETION, unbuiltNames } from "./unbuilt.ts";

const MAX_PROMPTS = 256;

const prompt = idList.refine((ids) => ids.length > 0).openapi({ minItems: 1 });

/** The body of POST /v1/completions. */
export const completionRequest = z.looseObject({
  ...SAMPLING_FIELDS,
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1).max(MAX_PROMPTS),
    prompt,
    z.array(prompt).min(1).max(MAX_PROMPTS),
  ], {
    error: "wanted text, token ids, or a list of either with 1 to " +
      `${MAX_PROMPTS} prompts, none of them without ids`,
  }).openapi({
    description: "One text or several, as text or as token ids; special tokens count as such",
  }),
  max_tokens: tokenLimit(0)
    .openapi({ description: "16 unless given; 0 with echo scores the prompt alone" }),
  echo: z.boolean().nullish().openapi({ description: "Answer the prompt too" }),
  logprobs: z.int().min(0).max(20).nullish()
    .openapi({ description: "Alternatives for each token, of the prompt too with echo" }),
}).superRefine(refuseUnbuilt(UNBUILT_COMPLETION)).openapi("CompletionRequest", {
  description:
    "Fields that are not listed are ignored, save those that ask for something that is " +
    `not built, which are refused by name: ${unbuiltNames(UNBUILT_COMPLETION)}`,
});

/** A checked request. */
export type CompletionBody = z.infer<typeof completionRequest>;

/** What POST /v1/completions answers. */
export const completion = z.object({
  id: z.string(),
  object: z.literal("text_completion"),
  created: z.int(),
  model: z.string(),
  choices: z.array(z.object({
    index: z.int(),
    text: z.string(),
    logprobs: z.object({
      tokens: z.array(z.string()),
      token_logprobs: z.array(z.number().nullable()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
      text_offset: z.array(z.int()),
    }).nullable(),
    finish_reason: z.enum(["stop", "length"]),
  })),
  usage: usageSchema,
}).openapi("Completion");
