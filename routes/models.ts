/** GET /v1/models and /v1/models/{id}. @module */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import type { ModelInfo } from "../runtime/mod.ts";
import { engineFacts, engineFactsOf } from "./engine_facts.ts";
import { RequestError } from "./errors.ts";
import { ERROR_RESPONSES } from "./schema.ts";
import { readyModel, type Service } from "./service.ts";

const modelSchema = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  max_model_len: z.int().openapi({ description: "Longest prompt and output together, in tokens" }),
  context_length: z.int().openapi({ description: "The same as max_model_len" }),
  input_modalities: z.array(z.string()),
  output_modalities: z.array(z.string()),
  meta: z.object({
    n_ctx: z.int(),
    n_vocab: z.int(),
    n_params: z.int(),
    size: z.int().openapi({ description: "Bytes of weights" }),
    ...engineFacts.shape,
    chat: z.boolean().openapi({ description: "Whether the model has a chat template" }),
  }),
}).openapi("Model");

const listRoute = createRoute({
  method: "get",
  path: "/v1/models",
  summary: "The served model, as a list of one",
  responses: {
    200: {
      description: "The list",
      content: {
        "application/json": {
          schema: z.object({ object: z.literal("list"), data: z.array(modelSchema) }),
        },
      },
    },
    ...ERROR_RESPONSES,
  },
});

const oneRoute = createRoute({
  method: "get",
  path: "/v1/models/{id}",
  summary: "The served model",
  request: { params: z.object({ id: z.string() }) },
  responses: {
    200: {
      description: "The model",
      content: { "application/json": { schema: modelSchema } },
    },
    404: ERROR_RESPONSES["400"]!,
    ...ERROR_RESPONSES,
  },
});

/** Mounts both routes. */
export function mountModels(app: OpenAPIHono, service: Service): void {
  const created = Math.floor(Date.now() / 1000);
  app.openapi(listRoute, async (c) => {
    const model = describe(service, await readyModel(service), created);
    return c.json({ object: "list" as const, data: [model] }, 200);
  });
  app.openAPIRegistry.registerPath(oneRoute);
  // Model names may hold slashes, which a plain parameter would not match.
  app.get("/v1/models/:id{.+}", async (c) => {
    const { modelId } = service.options;
    if (c.req.param("id") !== modelId) {
      throw new RequestError(
        404,
        `Cannot find model "${c.req.param("id")}": this server has "${modelId}"`,
        { code: "model_not_found", param: "id" },
      );
    }
    return c.json(describe(service, await readyModel(service), created));
  });
}

function describe(service: Service, model: ModelInfo, created: number) {
  return {
    id: service.options.modelId,
    object: "model" as const,
    created,
    owned_by: "deltapage",
    max_model_len: model.contextLength,
    context_length: model.contextLength,
    input_modalities: ["text"],
    output_modalities: ["text"],
    meta: {
      n_ctx: model.contextLength,
      n_vocab: model.vocabSize,
      n_params: model.parameters,
      size: model.weightBytes,
      ...engineFactsOf(model),
      chat: service.text.hasTemplate,
    },
  };
}
