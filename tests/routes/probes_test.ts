import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { chat, harness, type Json, readEvents } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";
import type { EngineStatus } from "../../runtime/mod.ts";

const PROBES = ["/health", "/livez", "/readyz", "/ping"] as const;
const STATES: readonly (readonly [EngineStatus, readonly number[]])[] = [
  [{ state: "loading", phase: "trunk", done: 1, total: 4 }, [503, 200, 503, 204]],
  [{ state: "ready" }, [200, 200, 200, 200]],
  [{ state: "draining" }, [503, 200, 503, 503]],
  [{ state: "failed", message: "no GPU" }, [503, 200, 503, 503]],
];

describe("probes", () => {
  for (const [state, statuses] of STATES) {
    it(`answer ${statuses.join(", ")} when ${state.state}`, async () => {
      const { engine, app } = harness({ apiKeys: ["k"] });
      engine.state = state;
      const found = [];
      for (const path of PROBES) found.push((await app.request(path)).status);
      assertEquals(found, [...statuses]);
    });
  }

  it("tell how far loading is", async () => {
    const { engine, app } = harness();
    engine.state = STATES[0]![0];
    const body = await (await app.request("/health")).json();
    assertEquals([body.status, body.phase, body.done, body.total], ["loading", "trunk", 1, 4]);
    assertEquals(body.error.type, "unavailable_error");
  });

  it("stand beside answers that say 503 while there is no model", async () => {
    const { engine, app, post } = harness();
    for (const [state] of STATES) {
      engine.state = state;
      const status = state.state === "ready" ? 200 : 503;
      for (const stream of [false, true]) {
        const response = await post("/v1/chat/completions", chat({ stream }));
        assertEquals([response.status, response.headers.has("retry-after")], [
          status,
          status === 503,
        ]);
        await response.body?.cancel();
      }
      assertEquals((await app.request("/v1/models")).status, status);
    }
  });
});

describe("GET /v1/models", () => {
  it("lists the one model with its context length, and finds it by name", async () => {
    const { app } = harness();
    const list = await (await app.request("/v1/models")).json();
    assertEquals(list.object, "list");
    const [model] = list.data;
    assertEquals([model.id, model.object], ["org/mock-model", "model"]);
    assertEquals([model.max_model_len, model.meta.n_ctx], [512, 512]);
    for (const path of ["org/mock-model", "org%2Fmock-model"]) {
      assertEquals(await (await app.request(`/v1/models/${path}`)).json(), model);
    }
    const other = await app.request("/v1/models/gpt-5.4");
    assertEquals([other.status, (await other.json()).error.code], [404, "model_not_found"]);
  });
});

describe("how the engine runs", () => {
  const facts = {
    residency: "paged",
    expertSlots: 12,
    expertIo: "pread",
    kernels: "pairs-32x8",
    memoryBudget: 2 ** 33,
  } as const;
  const named = {
    adapter: "none",
    software: true,
    kernels: "pairs-32x8",
    residency: "paged",
    expert_slots: 12,
    expert_io: "pread",
    memory_budget: 2 ** 33,
  };

  it("stands in /v1/models and in the labels of a metric, under the same names", async () => {
    const { app } = harness({}, facts);
    const { data: [{ meta }] } = await (await app.request("/v1/models")).json();
    assertEquals({ ...meta, ...named }, meta);
    const text = await (await app.request("/metrics")).text();
    const labels = Object.entries(named).map(([key, fact]) => `${key}="${fact}"`).join(",");
    assertStringIncludes(text, `deltapage_engine_info{${labels},model_name="org/mock-model"} 1\n`);
  });

  it("says nothing of experts where there are none", async () => {
    const { app } = harness();
    const { data: [{ meta }] } = await (await app.request("/v1/models")).json();
    assertEquals(Object.keys(meta).filter((key) => /expert|residency/.test(key)), []);
    const text = await (await app.request("/metrics")).text();
    assertMatch(text, /deltapage_engine_info\{adapter="none",software="true",model_name=/);
  });
});

describe("GET /metrics", () => {
  it("counts requests and tokens, and takes over the engine's counters", async () => {
    const { engine, app, post } = harness();
    engine.script = { tokens: [...ids("</think>abc"), ID.imEnd], cached: 2 };
    await (await post("/v1/chat/completions", chat())).body?.cancel();
    await readEvents(await post("/v1/chat/completions", chat({ stream: true, stop: "b" })));
    for (const round of [1, 2]) {
      const response = await app.request("/metrics");
      assertStringIncludes(response.headers.get("content-type") ?? "", "text/plain");
      const text = await response.text();
      for (
        const [name, value] of [
          ["vllm:num_requests_running", 0],
          ["vllm:num_requests_waiting", 2],
          ["vllm:kv_cache_usage_perc", 0.25],
          ["vllm:prompt_tokens_total", 18],
          ["vllm:generation_tokens_total", 5 + 3],
          ["vllm:prefix_cache_queries_total", 18],
          ["vllm:prefix_cache_hits_total", 4],
          ["vllm:time_to_first_token_seconds_count", 2],
          ["vllm:inter_token_latency_seconds_count", 4 + 2],
          ["deltapage_expert_cache_hits_total", 7],
          ["deltapage_new_count", 5],
          ["deltapage_state_checkpoints", 3],
          ["deltapage_ready", 1],
        ] as const
      ) {
        assertEquals(sample(text, name), value, `${name}, round ${round}`);
      }
      assertMatch(text, /vllm:request_success_total\{[^}]*finished_reason="stop"[^}]*\} 2\n/);
      assertMatch(text, /# TYPE deltapage_expert_cache_hits_total counter\n/);
    }
  });

  it("describes the KV cache where the engine tells its shape", async () => {
    const { engine, app } = harness();
    engine.values = { kvPageTokens: 16, kvPages: 100 };
    const text = await (await app.request("/metrics")).text();
    assertMatch(text, /vllm:cache_config_info\{[^}]*block_size="16",num_gpu_blocks="100"[^}]*\} 1/);
  });

  it("says so when the engine is not ready", async () => {
    const { engine, app } = harness();
    engine.state = { state: "failed", message: "no GPU" };
    assertEquals(sample(await (await app.request("/metrics")).text(), "deltapage_ready"), 0);
  });
});

/** The value of the only sample of a metric. */
function sample(text: string, name: string): number | undefined {
  const line = text.split("\n").find((line) =>
    line.startsWith(`${name}{`) || line.startsWith(`${name} `)
  );
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

describe("text routes", () => {
  it("tokenize, with special tokens unless told not to, and back", async () => {
    const { post } = harness();
    const content = "é<|im_end|>";
    const body = await (await post("/tokenize", { content })).json();
    assertEquals(body, { count: 3, tokens: [0xc3, 0xa9, ID.imEnd] });
    const plain = await (await post("/tokenize", { prompt: content, parse_special: false })).json();
    assertEquals(plain.count, 2 + "<|im_end|>".length);
    const pieces = await (await post("/tokenize", { content, with_pieces: true })).json();
    assertEquals(pieces.tokens.map(({ piece }: Json) => piece), [[0xc3], [0xa9], "<|im_end|>"]);
    const back = await (await post("/detokenize", { tokens: body.tokens })).json();
    assertEquals(back, { content, prompt: content });
    assertEquals((await post("/tokenize", {})).status, 400);
    assertEquals((await post("/detokenize", { tokens: [-1] })).status, 400);
    assertEquals((await post("/detokenize", { tokens: [10 ** 9] })).status, 200);
  });

  it("take a bounded number at a time", async () => {
    const { text, post } = harness();
    text.encodeMs = 5;
    const answers = Array.from({ length: 70 }, () => post("/apply-template", chat()));
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assertEquals(statuses.filter((status) => status === 429).length, 6);
    assertEquals((await post("/apply-template", chat())).status, 200);
  });

  it("apply the template without generating", async () => {
    const { engine, text, post } = harness();
    const tools = [{ type: "function", function: { name: "add" } }];
    const body = await (await post("/apply-template", chat({ tools }))).json();
    assertEquals(body, { prompt: "user:hi\n<think>", count: 9 });
    assertEquals(text.rendered[0]?.options.tools, tools as never);
    assertEquals(engine.requests.length, 0);
    assertEquals((await post("/apply-template", {})).status, 400);
  });
});

describe("GET /openapi.json", () => {
  it("describes every route", async () => {
    const { app } = harness();
    const document = await (await app.request("/openapi.json")).json();
    assertEquals(Object.keys(document.paths).sort(), [
      "/apply-template",
      "/detokenize",
      "/health",
      "/livez",
      "/metrics",
      "/ping",
      "/readyz",
      "/tokenize",
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/models",
      "/v1/models/{id}",
    ]);
    const { ChatCompletionRequest: schema } = document.components.schemas;
    assertEquals(schema.properties.temperature.maximum, 2);
    assertStringIncludes(schema.description, "`continue_final_message`");
    const { responses } = document.paths["/v1/chat/completions"].post;
    assertEquals(Object.keys(responses).includes("429"), true);
    const answers = (path: string) => Object.keys(document.paths[path].get.responses);
    assertEquals([answers("/ping"), answers("/livez")], [["200", "204", "503"], ["200"]]);
    assertEquals([document.security, document.components.securitySchemes], [undefined, undefined]);
  });

  it("says how keys are sent, and where none is needed", async () => {
    const { app } = harness({ apiKeys: ["k"] });
    const headers = { "x-api-key": "k" };
    const document = await (await app.request("/openapi.json", { headers })).json();
    assertEquals(document.security, [{ Bearer: [] }, { Header: [] }]);
    assertEquals(Object.keys(document.components.securitySchemes), ["Bearer", "Header"]);
    assertEquals(document.paths["/health"].get.security, []);
    assertEquals(document.paths["/metrics"].get.security, undefined);
  });
});
