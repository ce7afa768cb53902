/** The program as it is started: its own process, real worker, real socket, no more permissions than it needs. @module */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { loadOracleCase } from "./oracle_case.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const { dir, prompts } = loadOracleCase("tiny_fp8", 64);

/** Starts `main.ts serve` on any free port. */
function start(model: string, ...options: string[]): Deno.ChildProcess {
  const args = [
    "run",
    "--quiet",
    "--frozen",
    "--cached-only",
    "--no-prompt",
    `--config=${ROOT}deno.json`,
  ];
  const permissions = [
    "--allow-net=127.0.0.1",
    `--allow-read=${ROOT},${model}`,
    "--allow-env=DELTAPAGE_*,PORT",
  ];
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...args,
      ...permissions,
      `${ROOT}main.ts`,
      "serve",
      "--model",
      model,
      "--port",
      "0",
      ...options,
    ],
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

interface Lines {
  /** What it has said so far. */
  readonly text: () => string;
  /** The first line that matches, waiting for it. */
  readonly line: (pattern: RegExp) => Promise<RegExpMatchArray>;
  /** Resolves when it has said everything. */
  readonly done: Promise<unknown>;
}

/** What the process says on stderr. */
function lines(child: Deno.ChildProcess): Lines {
  let text = "";
  const waiting: (() => void)[] = [];
  const done = (async () => {
    for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      for (const wake of waiting.splice(0)) wake();
    }
    for (const wake of waiting.splice(0)) wake();
    return true;
  })();
  let ended = false;
  done.then(() => ended = true);
  return {
    text: () => text,
    done,
    line: async (pattern) => {
      for (;;) {
        const match = text.match(pattern);
        if (match) return match;
        if (ended) throw new Error(`The process ended without a line ${pattern}: ${text}`);
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

async function post(base: string, path: string, body: unknown): Promise<Response> {
  return await fetch(`${base}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

Deno.test("serve answers with the reference's probabilities, streams, and ends with 0 on SIGTERM", async () => {
  const child = start(dir);
  const { line, text } = lines(child);
  const base = (await line(/listening on (http:\S+)/))[1]!;
  await line(/is ready/);
  assertMatch(text(), /memory plan:\n +trunk/);
  assertMatch(text(), /warning: no tokenizer\.json/);
  const { tokens, logprobs, greedy } = prompts.find((prompt) => prompt.tokens.length === 64)!;
  const scored = await (await post(base, "/v1/completions", {
    prompt: tokens,
    max_tokens: 0,
    echo: true,
    logprobs: 0,
  })).json();
  const got: (number | null)[] = scored.choices[0].logprobs.token_logprobs;
  assertEquals(got[0], null);
  logprobs.forEach((want, i) =>
    assert(Math.abs(got[i + 1]! - want) < 0.01, `token ${i + 1}: ${got[i + 1]}, expected ${want}`)
  );
  const streamed = await (await post(base, "/v1/completions", {
    prompt: tokens,
    max_tokens: 5,
    temperature: 0,
    stream: true,
    logprobs: 0,
    return_tokens_as_token_ids: true,
  })).text();
  const ids = [...streamed.matchAll(/"token_id:(\d+)"[,\]]/g)].map((match) => Number(match[1]));
  assertEquals(ids, greedy.tokens.slice(0, 5));
  assert(streamed.endsWith("data: [DONE]\n\n"));
  const text400 = await post(base, "/v1/completions", { prompt: "words" });
  assertEquals(text400.status, 400);
  assertStringIncludes((await text400.json()).error.message, "no tokenizer.json");
  const chat400 = await post(base, "/v1/chat/completions", {
    messages: [{ role: "user", content: "hi" }],
  });
  assertEquals(chat400.status, 400);
  assertStringIncludes((await chat400.json()).error.message, "no tokenizer.json");
  const metrics = await (await fetch(`${base}/metrics`)).text();
  assertMatch(metrics, /# TYPE deltapage_engine_steps_total counter\n.* [1-9]\d*\n/);
  assertMatch(metrics, /vllm:cache_config_info\{[^}]*block_size="32"/);
  assert(!metrics.includes("Measured by the engine"), `A counter without a help text: ${metrics}`);
  child.kill("SIGTERM");
  await line(/deltapage: SIGTERM: answers in progress have 30 s/);
  assertEquals((await child.status).code, 0);
});

Deno.test("serve refuses a damaged snapshot, a wrong option and a small budget before it listens, with code 2", async () => {
  const folder = await Deno.makeTempDir();
  for (const { name } of Deno.readDirSync(dir)) {
    await Deno.copyFile(`${dir}/${name}`, `${folder}/${name}`);
  }
  const shard =
    [...Deno.readDirSync(folder)].find(({ name }) => name.endsWith(".safetensors"))!.name;
  await Deno.truncate(`${folder}/${shard}`, Deno.statSync(`${folder}/${shard}`).size - 10);
  const cases: [Deno.ChildProcess, string][] = [
    [start(folder), shard],
    [start(dir, "--port", "many"), '--port: found "many"'],
    [start(dir, "--vram", "1M"), "the smallest budget that works"],
    [start(`${folder}/nothing`), "config.json"],
  ];
  for (const [child, expected] of cases) {
    const { text, done } = lines(child);
    assertEquals((await child.status).code, 2);
    await done;
    assertStringIncludes(text(), `deltapage: Cannot`);
    assertStringIncludes(text(), expected);
    assert(!text().includes("listening") || expected.includes("budget"), text());
  }
  await Deno.writeTextFile(`${folder}/tokenizer.json`, "{}");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("an un-awaited map is complete when the call returns, in this Deno", async () => {
  // In a process of its own, because where this fails it takes the process along.
  const code = `
    import { openGpu } from "${ROOT}runtime/gpu/device.ts";
    import { Readback, syncReadbackWorks } from "${ROOT}runtime/gpu/readback.ts";
    const { device } = await openGpu();
    const readback = await Readback.open(device, 64, syncReadbackWorks());
    for (let i = 0; i < 50; i++) {
      device.queue.writeBuffer(readback.target, 0, Uint32Array.of(i));
      device.queue.submit([]);
      const [value] = new Uint32Array(await readback.read(4));
      if (value !== i) throw new Error("read " + value + ", expected " + i);
    }
    await readback.close();
    console.log("sync", syncReadbackWorks());`;
  const { code: exit, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", code],
    stderr: "null",
  }).output();
  assertEquals([exit, new TextDecoder().decode(stdout).trim()], [0, "sync true"]);
});
