/** POST /v1/completions. @module */
import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import type { ModelInfo } from "../runtime/mod.ts";
import { give, inOrder } from "./answer.ts";
import { ownerOf } from "./auth.ts";
import {
  completionAnswer,
  type CompletionPiece,
  type CompletionPlan,
} from "./completion_answer.ts";
import { completionChunks, type CompletionHead, wholeCompletion } from "./completion_response.ts";
import { completion, type CompletionBody, completionRequest } from "./completion_schema.ts";
import { RequestError } from "./errors.ts";
import { outputLimit } from "./generation.ts";
import { samplingOf, stopIdsOf, stopStringsOf } from "./sampling.ts";
import { ERROR_RESPONSES } from "./schema.ts";
import { readyModel, type Service, type Text } from "./service.ts";

/** What OpenAI generates when nothing is said. */
const DEFAULT_MAX_TOKENS = 16;
/** Prompts of one request that are worked on at the same time. */
const PROMPTS_AT_ONCE = 4;

const route = createRoute({
  method: "post",
  path: "/v1/completions",
  summary: "Continue one or several texts",
  request: {
    body: { required: true, content: { "application/json": { schema: completionRequest } } },
  },
  responses: {
    200: {
      description: "The texts, or with `stream` their chunks as server-sent events",
      content: {
        "application/json": { schema: completion },
        "text/event-stream": { schema: { type: "string" } },
      },
    },
    ...ERROR_RESPONSES,
  },
});

/** Mounts the route. */
export function mountCompletions(app: OpenAPIHono, service: Service): void {
  app.openapi(route, async (c) => {
    const body = c.req.valid("json");
    const model = await readyModel(service);
    const head: CompletionHead = {
      id: `cmpl-${crypto.randomUUID().replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: service.options.modelId,
      includeUsage: body.stream_options?.include_usage ?? false,
    };
    const stream = body.stream ?? false;
    return await give<CompletionPlan[], CompletionPiece>(c, service, {
      stream,
      plan: (signal) =>
        plansOf(service, body, { model, owner: ownerOf(c, body.cache_salt), signal }),
      run: (plans, signal) =>
        stream ? oneByOne(service, plans, signal) : together(service, plans, signal),
      chunks: (pieces) => completionChunks(pieces, head),
      whole: (pieces) => wholeCompletion(pieces, head),
      // The route's types know JSON only; an event stream is an answer of its own.
    }) as never;
  });
}

/** A stream cannot wait for several prompts at once without holding their text: they take turns. */
async function* oneByOne(
  service: Service,
  plans: readonly CompletionPlan[],
  signal: AbortSignal,
): AsyncGenerator<CompletionPiece> {
  for (const plan of plans) yield* completionAnswer(service, plan, signal);
}

async function* together(
  service: Service,
  plans: readonly CompletionPlan[],
  signal: AbortSignal,
): AsyncGenerator<CompletionPiece> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const tasks = plans.map((plan) => async () => {
    try {
      return await Array.fromAsync(completionAnswer(service, plan, either));
    } catch (error) {
      failed.abort(); // one prompt's failure is the request's: the others need not go on
      throw error;
    }
  });
  yield* (await inOrder(tasks, PROMPTS_AT_ONCE)).flat();
}

interface Circumstances {
  readonly model: ModelInfo;
  readonly owner: string;
  readonly signal: AbortSignal;
}

async function plansOf(
  { text, options }: Service,
  body: CompletionBody,
  { model, owner, signal }: Circumstances,
): Promise<CompletionPlan[]> {
  const known = { model, tokens: text.vocabulary };
  const sampling = samplingOf(body, options.defaults.completion, known);
  const scores = body.logprobs ?? undefined;
  const stop = stopStringsOf(body);
  const plans: CompletionPlan[] = [];
  for (const prompt of promptsOf(body.prompt)) {
    const tokens = typeof prompt === "string"
      ? await text.encode(prompt, { special: true }, signal)
      : prompt;
    if (tokens.length === 0) throw emptyPrompt();
    const wanted = body.max_tokens ?? DEFAULT_MAX_TOKENS;
    const maxTokens = outputLimit({ field: "prompt", tokens, wanted }, model);
    plans.push({
      index: plans.length,
      request: {
        tokens,
        sampling,
        maxTokens,
        stopIds: stopIdsOf(body, options.stopIds),
        checkpoints: [],
        owner,
        ...(stop.length ? { watched: true } : {}),
        ...(scores === undefined ? {} : { logprobs: scores }),
        ...(scores === undefined || !body.echo ? {} : { promptLogprobs: scores }),
      },
      echo: body.echo ? await textOf(text, prompt, signal) : null,
      logprobs: scores !== undefined,
      tokensById: body.return_tokens_as_token_ids ?? false,
      stop,
    });
  }
  return plans;
}

async function textOf(
  text: Text,
  prompt: string | number[],
  signal: AbortSignal,
): Promise<string> {
  return typeof prompt === "string"
    ? prompt
    : await text.decode(prompt, { skipSpecial: false }, signal);
}

function promptsOf(prompt: CompletionBody["prompt"]): (string | number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : prompt as string[] | number[][];
}

function emptyPrompt(): RequestError {
  return new RequestError(
    400,
    'Cannot accept "prompt": it has no tokens, at least one is needed',
    { param: "prompt", code: "invalid_value" },
  );
}
