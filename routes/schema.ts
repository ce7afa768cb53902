/** Pieces of request schemas that several routes share, and how a bad request is told. @module */
import { type Hook, z } from "@hono/zod-openapi";
import type { Env } from "hono";
import { RequestError } from "./errors.ts";

const MAX_LOGIT_BIASES = 1024;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1024;
const MAX_NESTING = 64;

const stopString = z.string().max(MAX_STOP_LENGTH);

/**
 * A list of token ids. It is checked by a plain loop: a list of a million ids would keep the library, and with it every
 * stream, for up to a second.
 */
export const idList = z.custom<number[]>(
  (value) => Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0),
  "wanted a list of token ids",
).openapi({ type: "array", items: { type: "integer", minimum: 0 } });

/** How many tokens may come out; some clients say -1 where there shall be no limit but the context. */
export function tokenLimit(least: number) {
  return z.int().min(-1).refine((count) => count === -1 || count >= least, {
    message: `wanted at least ${least}, or -1 for what the context has room for`,
  }).nullish();
}

/** Fields of sampling and of limits that chat and plain completions share. */
export const SAMPLING_FIELDS = {
  model: z.string().max(256).nullish()
    .openapi({ description: "Ignored: one model is served, under any name" }),
  stream: z.boolean().nullish().openapi({ description: "Send server-sent events" }),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish().openapi({ description: "0 is greedy" }),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish().openapi({ description: "0 or -1 keeps everything" }),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  seed: z.number().refine(Number.isInteger, "wanted a whole number").nullish()
    .openapi({ type: "integer", description: "Equal seeds give equal answers; below 0 is random" }),
  stop: z.union([stopString, z.array(stopString).max(MAX_STOPS)], {
    error: `wanted text or a list of at most ${MAX_STOPS} texts`,
  }).nullish(),
  stop_token_ids: z.array(z.int().min(0)).max(MAX_STOPS).nullish()
    .openapi({ description: "Ids that end the answer, beside the model's own" }),
  ignore_eos: z.boolean().nullish()
    .openapi({ description: "Go on past the model's own end of answer" }),
  logit_bias: z.record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100))
    .refine((biases) => Object.keys(biases).length <= MAX_LOGIT_BIASES, {
      message: `at most ${MAX_LOGIT_BIASES} entries`,
    }).nullish(),
  return_tokens_as_token_ids: z.boolean().nullish()
    .openapi({ description: "Log-probabilities name tokens as token_id:N" }),
  cache_salt: z.string().max(256).nullish()
    .openapi({ description: "Requests of different salts share no cached state" }),
};

/** A body with at least the fields of {@linkcode SAMPLING_FIELDS}. */
export type SamplingBody = z.infer<z.ZodObject<typeof SAMPLING_FIELDS>>;

/** Holds a value, fields that the schema does not know among them, to what templates can bear. */
export function shallow<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.refine((value) => nestedAtMost(value, MAX_NESTING), {
    message: `nested deeper than ${MAX_NESTING} levels`,
  });
}

/** The error object that every refusal carries. */
const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
}).openapi("Error");

/** The refusals that every answering route has in common, for the OpenAPI document. */
export const ERROR_RESPONSES = Object.fromEntries(
  ([
    [400, "The request cannot be honoured; `param` names the field"],
    [401, "The API key is missing or unknown"],
    [413, "The body is too long"],
    [415, "The body is not JSON"],
    [429, "Too many requests in progress; see Retry-After"],
    [500, "The engine failed; the message has the request's id"],
    [503, "The model is loading, or the server is shutting down"],
  ] as const).map(([status, description]) => [
    status,
    { description, content: { "application/json": { schema: errorSchema } } },
  ]),
);

/** Hono's hook after validation: the first issue becomes a 400 that names the field. */
// deno-lint-ignore no-explicit-any
export const refuseInvalid: Hook<unknown, Env, string, any> = (result) => {
  if (result.success) return;
  const issue = result.error.issues[0];
  const param = issue ? fieldName(issue.path) : "";
  throw new RequestError(
    400,
    param === ""
      ? `Cannot read the request: ${issue?.message ?? "it is not valid"}`
      : `Cannot accept "${param}": ${issue?.message}`,
    { code: "invalid_value", ...(param === "" ? {} : { param }) },
  );
};

/** A path as it is written in code: messages[0].content. */
function fieldName(path: readonly PropertyKey[]): string {
  return path.map((part, index) =>
    typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`
  ).join("");
}

function nestedAtMost(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  return Object.values(value).every((inner) => nestedAtMost(inner, levels - 1));
}
