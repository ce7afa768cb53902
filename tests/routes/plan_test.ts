import { assertEquals, assertMatch } from "@std/assert";
import { Planner } from "../../runtime/mod.ts";
import { harness } from "./harness.ts";

const MEASURED = {
  rates: { read: 2e9, upload: 1e9, flops: 1e11, dispatch: 2e-5, kernels: null },
  maxBinding: 2 ** 27,
  software: true,
};
const OPTIONS = {
  model: `${import.meta.dirname}/../golden/parity/tiny_fp8`,
  maxSequences: 2,
  context: 1024,
  chunkRows: 512,
  kv: "f32",
  head: "stored",
  runAhead: null,
  residency: "auto",
  cacheDir: null,
} as const;

function app(apiKeys: readonly string[] = []) {
  const planner = new Planner(OPTIONS, () => Promise.resolve(MEASURED));
  return harness({ planner, apiKeys }, { memoryBudget: 2 ** 30 });
}

Deno.test("GET /v1/plan is about the server's own model and device unless told", async () => {
  const { app: routes } = app();
  const own = await (await routes.request("/v1/plan")).json();
  assertEquals([own.title, own.sequences, own.fits], ["tiny_fp8", 2, true]);
  assertEquals([own.budget.value, own.plan.contextLength], [2 ** 30, 1024]);
  const url = "/v1/plan?model=35B-A3B&device=rtx-3060-12gb&ram=32G&context=32768&sequences=4";
  const other = await (await routes.request(url)).json();
  assertEquals([other.title, other.plan.contextLength], ["35B-A3B fp8", 32768]);
  assertEquals(other.plan.expertSlots > 8 && other.plan.expertSlots < 256, true);
  assertMatch(other.speed.tokensPerSecond.formula, /^1 \/ \(.* to read at .* to page in/);
  assertMatch(other.advice[0], /^--kv f16: \d+ slots/);
});

Deno.test("GET /v1/plan draws for format=svg and for Accept, and formats weights beside", async () => {
  const { app: routes } = app();
  const svg = await routes.request("/v1/plan?device=l4&model=35B-A3B&format=svg");
  assertEquals(svg.headers.get("content-type"), "image/svg+xml; charset=utf-8");
  assertMatch(await svg.text(), /^<svg .*<title>35B-A3B fp8/s);
  const headers = { accept: "image/svg+xml" };
  const url = "/v1/plan?device=l4&model=35B-A3B&format=bf16";
  assertMatch(await (await routes.request(url, { headers })).text(), /<title>35B-A3B bf16/);
  const browser = { accept: "text/html,application/xhtml+xml,image/svg+xml,*/*;q=0.8" };
  const page = await routes.request(url, { headers: browser });
  assertMatch(page.headers.get("content-type")!, /^application\/json/);
});

Deno.test("GET /v1/plan refuses what it cannot read in one line that names it", async () => {
  const { app: routes } = app();
  for (
    const [query, param, message] of [
      ["device=abacus", "device", /^Cannot accept "device": found "abacus", wanted t4, /],
      ["context=-1", "context", /^Cannot accept "context": found "-1", wanted a whole number/],
      ["model=/etc/passwd", "model", /wanted 35B-A3B, /],
      ["format=int4", "format", /found "int4", wanted fp8 or bf16$/],
      ["vram=lots", "vram", /wanted bytes or a size such as 8G$/],
      ["bandwidth=NaN", "bandwidth", /wanted a number above 0$/],
      [`ram=${"9".repeat(70)}`, "ram", /^Cannot accept "ram"/],
      ["device=l4&device=t4", "device", /^Cannot accept "device"/],
      ["colour=red", null, /colour/],
    ] as const
  ) {
    const response = await routes.request(`/v1/plan?${query}`);
    const { error } = await response.json();
    assertEquals([response.status, error.param], [400, param], query);
    assertMatch(error.message, message);
    assertEquals(error.message.includes("\n"), false);
    assertEquals(error.code, "invalid_value");
  }
});

Deno.test("GET /v1/plan says 503 while the own model loads, and answers about others", async () => {
  const { app: routes, engine } = app();
  engine.state = { state: "loading", phase: "trunk", done: 0, total: 1 };
  assertEquals((await routes.request("/v1/plan")).status, 503);
  assertEquals((await routes.request("/v1/plan?model=0.8B&device=t4")).status, 200);
});

Deno.test("GET /v1/plan asks for a key like every other path, and stands in the document", async () => {
  const { app: routes } = app(["secret"]);
  assertEquals((await routes.request("/v1/plan?device=l4")).status, 401);
  const headers = { authorization: "Bearer secret" };
  assertEquals((await routes.request("/v1/plan?device=l4", { headers })).status, 200);
  assertEquals((await routes.request("/v1/plan", { headers, method: "POST" })).status, 405);
  const document = await (await routes.request("/openapi.json", { headers })).json();
  const { parameters, responses } = document.paths["/v1/plan"].get;
  const names = parameters.map(({ name }: { name: string }) => name);
  assertEquals(["model", "format", "device", "vram", "kv"].every((n) => names.includes(n)), true);
  assertEquals(Object.keys(responses["200"].content), ["application/json", "image/svg+xml"]);
});

Deno.test("GET /v1/plan is not there without a planner", async () => {
  assertEquals((await harness().app.request("/v1/plan")).status, 404);
});
