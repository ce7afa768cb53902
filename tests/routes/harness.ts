/** An app over the scripted engine, and ways to ask it. @module */
import { TextLineStream } from "@std/streams";
import { createApp } from "../../routes/app.ts";
import type { AppOptions, SamplingDefaults } from "../../routes/service.ts";
import type { ModelInfo } from "../../runtime/mod.ts";
import { MockEngine } from "../mock_engine.ts";
import { ID, MockText } from "./mock_text.ts";

/** Sampling where a test's request is silent; every preset has its own temperature. */
export function defaults(temperature: number): SamplingDefaults {
  return {
    temperature,
    topP: 0.95,
    topK: 20,
    minP: 0,
    presencePenalty: 1.5,
    repetitionPenalty: 1,
  };
}

/** Options that most tests run with. */
export const OPTIONS: AppOptions = {
  modelId: "org/mock-model",
  stopIds: [ID.imEnd],
  defaults: { thinking: defaults(1), instruct: defaults(0.7), completion: defaults(0.9) },
  maxQueue: 8,
};

// deno-lint-ignore no-explicit-any
export type Json = any;

/** One app with its mocks. */
export function harness(options: Partial<AppOptions> = {}, model: Partial<ModelInfo> = {}) {
  const engine = new MockEngine(model);
  const text = new MockText();
  const app = createApp(engine, text, { ...OPTIONS, ...options });
  const post = async (path: string, body: unknown, init: RequestInit = {}) =>
    await app.request(path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
      headers: { "content-type": "application/json", ...init.headers },
    });
  return { engine, text, app, post };
}

/** The values of an event stream, comments and `[DONE]` among them as strings. */
export async function readEvents(response: Response): Promise<Json[]> {
  const lines = response.body!
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream());
  const events: Json[] = [];
  for await (const line of lines) {
    if (line.startsWith(":") || line === "data: [DONE]") events.push(line);
    else if (line !== "") events.push(JSON.parse(line.slice("data: ".length)));
  }
  return events;
}

/** A chat body with one user message. */
export function chat(extra: Record<string, unknown> = {}): Record<string, unknown> {
  return { messages: [{ role: "user", content: "hi" }], ...extra };
}
