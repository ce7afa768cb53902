/** The HTTP side, put together. @module */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { requestId } from "hono/request-id";
import type { Engine } from "../runtime/mod.ts";
import { Admission } from "./admission.ts";
import { apiKeys, describeKeys } from "./auth.ts";
import { utf8Bodies } from "./body.ts";
import { mountChatCompletions } from "./chat_completions.ts";
import { mountCompletions } from "./completions.ts";
import { onError, RequestError } from "./errors.ts";
import { mountHealth } from "./health.ts";
import { Metrics, mountMetrics } from "./metrics.ts";
import { mountModels } from "./models.ts";
import { mountPlan } from "./plan.ts";
import { refuseInvalid } from "./schema.ts";
import type { AppOptions, Service, Text } from "./service.ts";
import { mountTokenize } from "./tokenize.ts";

const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** The app: every route over one engine and one text side. Nothing is asked of the engine before a request. */
export function createApp(engine: Engine, text: Text, options: AppOptions): OpenAPIHono {
  const metrics = new Metrics(engine, options.modelId);
  const admission = new Admission(options.maxQueue, () => metrics.rejected("overloaded"));
  const service: Service = { engine, text, options, admission, metrics };
  const app = new OpenAPIHono({ defaultHook: refuseInvalid });
  app.onError(onError);
  app.notFound((c) => refuseUnknown(app, c));
  guard(app, options);
  mountHealth(app, service);
  mountMetrics(app, metrics);
  mountModels(app, service);
  mountPlan(app, service);
  mountChatCompletions(app, service);
  mountCompletions(app, service);
  mountTokenize(app, service);
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: { title: "deltapage", version: "1" },
    ...(options.apiKeys?.length ? { security: describeKeys(app) } : {}),
  });
  return app;
}

/** What every request passes first. */
function guard(app: OpenAPIHono, options: AppOptions): void {
  const { apiKeys: keys = [], corsOrigins = [], maxBodyBytes = MAX_BODY_BYTES } = options;
  app.use(requestId());
  if (corsOrigins.length > 0) {
    app.use(cors({
      origin: corsOrigins.includes("*") ? "*" : [...corsOrigins],
      exposeHeaders: ["x-request-id", "retry-after"],
    }));
  }
  if (keys.length > 0) app.use(apiKeys(keys));
  app.use(bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw new RequestError(
        413,
        `Cannot accept the body: it is longer than ${maxBodyBytes} bytes`,
      );
    },
  }));
  app.use(utf8Bodies());
}

/** 405 where the path exists for another method, else 404. */
function refuseUnknown(app: OpenAPIHono, c: Context): never {
  const methods = app.routes
    .filter(({ path }) => covers(path, c.req.path))
    .map(({ method }) => method);
  if (methods.length === 0) {
    const meant = intended(c.req.path);
    const known = app.routes.some(({ path }) => covers(path, meant));
    throw new RequestError(
      404,
      `Cannot ${c.req.method} ${c.req.path}: there is no such path${
        known ? `, did you mean ${meant}?` : ""
      }`,
      { code: "unknown_url" },
    );
  }
  const allowed = [...new Set(methods)].join(", ");
  throw new RequestError(
    405,
    `Cannot ${c.req.method} ${c.req.path}: this path takes ${allowed}`,
    { code: "method_not_allowed", headers: { allow: allowed } },
  );
}

/** Whether a route's path, whose parameters come last, matches a request's. */
function covers(route: string, path: string): boolean {
  const [fixed = "", parameter] = route.split("/:");
  if (parameter === undefined) return path === route;
  return path.startsWith(`${fixed}/`) && path.length > fixed.length + 1;
}

/** A path as it should be where a client's base URL has /v1 never or twice, or a slash at its end. */
function intended(path: string): string {
  const bare = path.replace(/^(\/v1)+(?=\/)/, "").replace(/\/+$/, "");
  return /^\/(chat|completions|models|plan)\b/.test(bare) ? `/v1${bare}` : bare;
}
