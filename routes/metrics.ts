/** GET /metrics: counters of requests and of the engine, for Prometheus. @module */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Counter, Histogram } from "prom-client";
import type { Counters, Engine } from "../runtime/mod.ts";
import { engineFactsOf } from "./engine_facts.ts";
import { takeOver } from "./engine_meters.ts";
import { Meters } from "./meters.ts";

const FIRST_TOKEN_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const NEXT_TOKEN_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** Where a request was when it was aborted. */
export type Phase = "prefill" | "decode";

/** The app's meters. Names beginning with `vllm:` are those that autoscalers and dashboards look for. */
export class Metrics {
  readonly #meters: Meters;
  readonly #engine: Engine;
  readonly #promptTokens: Counter;
  readonly #generatedTokens: Counter;
  readonly #cacheQueries: Counter;
  readonly #cacheHits: Counter;
  readonly #firstToken: Histogram;
  readonly #nextToken: Histogram;
  readonly #finished: Counter<"finished_reason">;
  readonly #aborted: Counter<"phase">;
  readonly #rejected: Counter<"reason">;

  constructor(engine: Engine, modelId: string) {
    this.#engine = engine;
    this.#meters = new Meters({ model_name: modelId });
    this.#promptTokens = this.#meters.counter(
      "vllm:prompt_tokens_total",
      "Prompt tokens processed",
    );
    this.#generatedTokens = this.#meters.counter(
      "vllm:generation_tokens_total",
      "Tokens generated",
    );
    this.#cacheQueries = this.#meters.counter(
      "vllm:prefix_cache_queries_total",
      "Prompt tokens looked up in the state cache",
    );
    this.#cacheHits = this.#meters.counter(
      "vllm:prefix_cache_hits_total",
      "Prompt tokens that the state cache had",
    );
    this.#firstToken = this.#meters.histogram(
      "vllm:time_to_first_token_seconds",
      "From request to first token",
      FIRST_TOKEN_BUCKETS,
    );
    this.#nextToken = this.#meters.histogram(
      "vllm:inter_token_latency_seconds",
      "From token to token",
      NEXT_TOKEN_BUCKETS,
    );
    this.#finished = this.#meters.counter(
      "vllm:request_success_total",
      "Finished generations",
      "finished_reason",
    );
    this.#aborted = this.#meters.counter(
      "deltapage_requests_aborted_total",
      "Generations whose client went away",
      "phase",
    );
    this.#rejected = this.#meters.counter(
      "deltapage_requests_rejected_total",
      "Generations refused, or ended by an error",
      "reason",
    );
  }

  /** A first token came out, `seconds` after the request. */
  firstToken(seconds: number): void {
    this.#firstToken.observe(seconds);
  }

  /** Another token came out, `seconds` after the one before. */
  nextToken(seconds: number): void {
    this.#nextToken.observe(seconds);
  }

  /** The prompt has been processed. */
  prompt(tokens: number, cached: number): void {
    this.#promptTokens.inc(tokens);
    this.#cacheQueries.inc(tokens);
    this.#cacheHits.inc(cached);
  }

  /** `tokens` more came out of one generation. */
  generated(tokens: number): void {
    this.#generatedTokens.inc(tokens);
  }

  finished(reason: string): void {
    this.#finished.inc({ finished_reason: reason });
  }

  aborted(phase: Phase): void {
    this.#aborted.inc({ phase });
  }

  rejected(reason: string): void {
    this.#rejected.inc({ reason });
  }

  /** Everything in the text format, the engine's counters included. */
  async text(): Promise<string> {
    const ready = this.#engine.status().state === "ready";
    this.#meters.gauge("deltapage_ready", "1 when requests are answered").set(ready ? 1 : 0);
    if (ready) {
      this.#describe(engineFactsOf(await this.#engine.ready));
      this.#takeOver(await this.#engine.counters());
    }
    return await this.#meters.text();
  }

  get contentType(): string {
    return this.#meters.contentType;
  }

  #describe(facts: Readonly<Record<string, unknown>>): void {
    const labels = Object.fromEntries(Object.entries(facts).map(([key, fact]) => [key, `${fact}`]));
    this.#meters.gauge(
      "deltapage_engine_info",
      "How the engine runs, in its labels; /v1/models has them too",
      Object.keys(labels),
    ).set(labels, 1);
  }

  #takeOver({ running, waiting, kvUsage, values }: Counters): void {
    this.#meters.gauge("vllm:num_requests_running", "Generations in progress").set(running);
    this.#meters.gauge("vllm:num_requests_waiting", "Generations in the queue").set(waiting);
    this.#meters.gauge("vllm:kv_cache_usage_perc", "Used share of the KV pages, 0 to 1").set(
      kvUsage,
    );
    takeOver(this.#meters, values);
  }
}

/** Mounts GET /metrics. */
export function mountMetrics(app: OpenAPIHono, metrics: Metrics): void {
  app.openAPIRegistry.registerPath({
    method: "get",
    path: "/metrics",
    summary: "Counters for Prometheus",
    responses: { 200: { description: "Text format", content: { "text/plain": {} } } },
  });
  app.get("/metrics", async (c) => {
    return c.text(await metrics.text(), 200, { "content-type": metrics.contentType });
  });
}
