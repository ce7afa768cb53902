/** GET /v1/plan: what of a model fits a device, and how fast it should be; of this server's own unless told. @module */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import {
  FORECAST_OPTIONS,
  type ForecastOption,
  ForecastOptionError,
  type ForecastValues,
} from "../runtime/mod.ts";
import { RequestError } from "./errors.ts";
import { ERROR_RESPONSES } from "./schema.ts";
import { readyModel, type Service } from "./service.ts";

const SVG = "image/svg+xml";
const MAX_VALUE_LENGTH = 64;

/** What the HTTP side says otherwise than the command line. */
const HELP: Readonly<Partial<Record<ForecastOption, string>>> = {
  model: "A member of the family; this server's model unless given",
  format: "How the weights are stored: fp8 or bf16. svg asks for the chart, as Accept does",
};

const query = z.strictObject(
  Object.fromEntries(FORECAST_OPTIONS.map(([name, form, help]) => [
    name,
    z.string().max(MAX_VALUE_LENGTH).optional().openapi({
      description: HELP[name] ?? `${form}: ${help}`,
    }),
  ])) as Record<ForecastOption, z.ZodOptional<z.ZodString>>,
);

const derived = z.object({
  value: z.number(),
  formula: z.string().openapi({ description: "Where the value comes from, with its numbers" }),
}).openapi("DerivedNumber");

const planSchema = z.object({
  title: z.string(),
  fits: z.boolean(),
  sequences: z.int(),
  device: z.object({ name: z.string(), vram: z.number(), bandwidth: z.number() }),
  plan: z.object({
    contextLength: z.int(),
    expertSlots: z.int().openapi({ description: "Experts of each layer that are on the device" }),
    allResident: z.boolean(),
    total: z.number(),
  }).nullable(),
  budget: derived,
  least: z.number().openapi({ description: "Smallest budget that works, bytes" }),
  everything: z.number().openapi({ description: "Budget that holds everything, bytes" }),
  speed: z.object({
    hitRate: derived,
    tokensPerSecond: derived.extend({ least: z.number() }),
    prefillTokensPerSecond: derived,
    firstTokenSeconds: derived,
  }).nullable(),
  advice: z.array(z.string()).readonly().openapi({
    description: "What to change, and what it brings",
  }),
}).openapi("Plan");

const planRoute = createRoute({
  method: "get",
  path: "/v1/plan",
  summary: "What of a model fits a device, and how fast it should be",
  request: { query },
  responses: {
    200: {
      description: "Sizes in bytes, each number with its formula; or a chart of tokens a second",
      content: { "application/json": { schema: planSchema }, [SVG]: { schema: z.string() } },
    },
    ...ERROR_RESPONSES,
  },
});

/** Mounts the route, where the server can plan. */
export function mountPlan(app: OpenAPIHono, service: Service): void {
  const { planner } = service.options;
  if (!planner) return;
  app.openapi(planRoute, async (c) => {
    const { format, ...values } = c.req.valid("query");
    const drawn = format === "svg" || wantsSvg(c.req.header("accept"));
    const weights = format === undefined || format === "svg" ? {} : { format };
    const asked = given({ ...values, ...weights });
    try {
      const answer = await planner.answer(asked, () => readyModel(service));
      if (drawn) return c.body(answer.chart(), 200, { "content-type": `${SVG}; charset=utf-8` });
      return c.json(answer.forecast, 200);
    } catch (error) {
      if (!(error instanceof ForecastOptionError)) throw error;
      throw new RequestError(400, `Cannot accept "${error.option}": ${error.reason}`, {
        code: "invalid_value",
        param: error.option,
      });
    }
  });
}

/** A browser that shows a page accepts everything: only who names SVG and not JSON gets it. */
function wantsSvg(accept: string | undefined): boolean {
  return accept !== undefined && accept.includes(SVG) &&
    !/application\/json|text\/html/.test(accept);
}

function given(values: { readonly [K in ForecastOption]?: string | undefined }): ForecastValues {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  );
}
