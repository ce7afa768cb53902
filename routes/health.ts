/** What probes and people ask to learn how the server is. @module */
import type { Context } from "hono";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { EngineStatus } from "../runtime/mod.ts";
import type { Service } from "./service.ts";

const SUMMARIES = {
  "/health": "Whether requests are answered, and how far loading is",
  "/livez": "Whether the process answers",
  "/readyz": "Whether a request would be taken now",
  "/ping": "As /health, but 204 while the model loads",
};

/** Mounts /health, /livez, /readyz and /ping. */
export function mountHealth(app: OpenAPIHono, { engine, admission }: Service): void {
  for (const [path, summary] of Object.entries(SUMMARIES)) {
    const responses = {
      200: { description: "Yes" },
      ...(path === "/ping" ? { 204: { description: "Not yet" } } : {}),
      ...(path === "/livez" ? {} : { 503: { description: "No, or not yet" } }),
    };
    app.openAPIRegistry.registerPath({ method: "get", path, summary, responses, security: [] });
  }
  app.get("/health", (c) => {
    const status = engine.status();
    return status.state === "ready" ? c.json({ status: "ok" }) : unhealthy(c, describe(status));
  });
  // Only that the process answers: restarting it would not make a model load faster.
  app.get("/livez", (c) => c.json({ status: "ok" }));
  app.get("/readyz", (c) => {
    const status = engine.status();
    if (status.state !== "ready") return unhealthy(c, describe(status));
    if (admission.full) return unhealthy(c, { status: "busy", message: "The queue is full" });
    return c.json({ status: "ok" });
  });
  app.get("/ping", (c) => {
    const { state } = engine.status();
    if (state === "loading") return c.body(null, 204);
    return state === "ready" ? c.json({ status: "ok" }) : unhealthy(c, describe(engine.status()));
  });
}

/** The engine's state for people: while it loads, also how far it is. */
interface State {
  readonly status: string;
  readonly message: string;
  readonly phase?: string;
  readonly done?: number;
  readonly total?: number;
}

function describe(status: EngineStatus): State {
  switch (status.state) {
    case "ready":
      return { status: "ok", message: "Ready" };
    case "loading": {
      const { phase, done, total } = status;
      return { status: "loading", message: "Loading model", phase, done, total };
    }
    case "draining":
      return { status: "draining", message: "The server is shutting down" };
    case "failed":
      return { status: "failed", message: status.message };
    default:
      return status satisfies never;
  }
}

/** 503 with the state, and an error object for clients that look for one. */
function unhealthy(c: Context, state: State): Response {
  const error = {
    message: state.message,
    type: "unavailable_error",
    param: null,
    code: state.status,
  };
  return c.json({ ...state, error }, 503, { "retry-after": "2" });
}
