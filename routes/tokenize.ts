/** POST /tokenize, /detokenize and /apply-template: what the model sees, for those who debug prompts. @module */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { Admission } from "./admission.ts";
import { CONVERSATION_FIELDS } from "./chat_schema.ts";
import { conversationOf } from "./conversation.ts";
import { RequestError } from "./errors.ts";
import { longList } from "./long_list.ts";
import { ERROR_RESPONSES, idList } from "./schema.ts";
import type { Service, Tokens } from "./service.ts";
import { bytesOf } from "./token_text.ts";

const tokenizeRequest = z.looseObject({
  content: z.string().nullish(),
  prompt: z.string().nullish().openapi({ description: "The same as content" }),
  parse_special: z.boolean().nullish()
    .openapi({ description: "Whether special tokens written out count as such; true" }),
  with_pieces: z.boolean().nullish().openapi({ description: "Name each token's text or bytes" }),
}).openapi("TokenizeRequest");

const tokenizeRoute = createRoute({
  method: "post",
  path: "/tokenize",
  summary: "Text to token ids",
  request: {
    body: { required: true, content: { "application/json": { schema: tokenizeRequest } } },
  },
  responses: {
    200: {
      description: "The ids",
      content: {
        "application/json": {
          schema: z.object({
            count: z.int(),
            tokens: z.array(z.union([
              z.int(),
              z.object({ id: z.int(), piece: z.union([z.string(), z.array(z.int())]) }),
            ])),
          }),
        },
      },
    },
    ...ERROR_RESPONSES,
  },
});

const detokenizeRoute = createRoute({
  method: "post",
  path: "/detokenize",
  summary: "Token ids to text",
  request: {
    body: {
      required: true,
      content: {
        "application/json": { schema: z.looseObject({ tokens: idList }) },
      },
    },
  },
  responses: {
    200: {
      description: "The text, under both names in use",
      content: {
        "application/json": { schema: z.object({ content: z.string(), prompt: z.string() }) },
      },
    },
    ...ERROR_RESPONSES,
  },
});

const templateRoute = createRoute({
  method: "post",
  path: "/apply-template",
  summary: "A conversation as the text that the model would see",
  request: {
    body: {
      required: true,
      content: { "application/json": { schema: z.looseObject(CONVERSATION_FIELDS) } },
    },
  },
  responses: {
    200: {
      description: "The text, and how many tokens it has",
      content: {
        "application/json": { schema: z.object({ prompt: z.string(), count: z.int() }) },
      },
    },
    ...ERROR_RESPONSES,
  },
});

/** Requests for these routes that may be in progress at once. */
const MAX_AT_ONCE = 64;

/** Mounts the three routes. They need the text side only, so they answer while the model loads. */
export function mountTokenize(app: OpenAPIHono, { text, metrics }: Service): void {
  const admission = new Admission(MAX_AT_ONCE, () => metrics.rejected("overloaded"));
  app.openapi(tokenizeRoute, async (c) => {
    const body = c.req.valid("json");
    const content = body.content ?? body.prompt;
    if (content === null || content === undefined) {
      throw new RequestError(400, 'Cannot tokenize: "content" is missing', { param: "content" });
    }
    const special = body.parse_special ?? true;
    const ids = await admission.around(() => text.encode(content, { special }, c.req.raw.signal));
    const json = body.with_pieces ? pieceJson(text.vocabulary) : String;
    const answer = longList({ count: ids.length }, "tokens", { items: ids, json });
    // The route's types know JSON as a whole only.
    return c.body(answer, 200, { "content-type": "application/json" }) as never;
  });
  app.openapi(detokenizeRoute, async (c) => {
    const { tokens } = c.req.valid("json");
    const content = await admission.around(() =>
      text.decode(tokens, { skipSpecial: false }, c.req.raw.signal)
    );
    return c.json({ content, prompt: content }, 200);
  });
  app.openapi(templateRoute, async (c) => {
    const body = c.req.valid("json");
    const { encoded } = await admission.around(() => conversationOf(text, body, c.req.raw.signal));
    return c.json({ prompt: encoded.prompt, count: encoded.ids.length }, 200);
  });
}

/** An id beside its piece. Long texts repeat themselves: the piece of an id is made once. */
function pieceJson(vocabulary: Tokens): (id: number) => string {
  const known = new Map<number, string>();
  return (id) => {
    const json = known.get(id) ?? JSON.stringify({ id, piece: pieceOf(bytesOf(vocabulary, id)) });
    known.set(id, json);
    return json;
  };
}

/** A token's text, or its bytes where they are not whole characters. */
function pieceOf(bytes: Uint8Array): string | number[] {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}
