import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { Conversation, parseChatArguments } from "../../deploy/chat.ts";
import { ChatError, serverState } from "../../deploy/chat_client.ts";
import { type ChatServer, data, delta, startChatServer } from "./chat_server.ts";

const END = [
  data({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }),
  data({
    choices: [],
    usage: { completion_tokens: 7, prompt_tokens_details: { cached_tokens: 3 } },
    timings: { predicted_per_second: 12.34 },
  }),
  data("[DONE]"),
];

function converse(server: ChatServer, color = false) {
  const written: string[] = [];
  const client = { url: server.url, apiKey: "key", enableThinking: false };
  const conversation = new Conversation(
    { client, system: "Be terse." },
    (text) => written.push(text),
    { color },
  );
  const ask = async (question: string, signal = new AbortController().signal) => {
    written.length = 0;
    await conversation.ask(question, signal);
    return written.join("");
  };
  return { conversation, ask };
}

Deno.test("Conversation.ask() writes thinking dimmed, then the answer, then the speed", async () => {
  await using server = startChatServer();
  server.answer = [
    delta({ role: "assistant", content: "" }),
    ": ping\n\n",
    delta({ reasoning_content: "hm", reasoning: "hm" }),
    delta({ content: "Hel" }),
    delta({ content: "lo \x1b[31m天" }),
    ...END,
  ];
  const { ask } = converse(server, true);
  const dim = (text: string) => `\x1b[2m${text}\x1b[22m`;
  assertEquals(
    await ask("hi"),
    `${dim("hm")}\n\nHello ·[31m天${dim("\n[7 tokens, 12.3 tokens/s]")}\n`,
  );
});

Deno.test("Conversation remembers its turns, and forgets them when told", async () => {
  await using server = startChatServer();
  server.answer = [delta({ reasoning_content: "r" }), delta({ content: "one" }), ...END];
  const { conversation, ask } = converse(server);
  await ask("1");
  await ask("2");
  const start = { role: "system", content: "Be terse." } as const;
  assertEquals(server.requests[1]?.body.messages, [
    start,
    { role: "user", content: "1" },
    { role: "assistant", content: "one" },
    { role: "user", content: "2" },
  ]);
  assertEquals(server.requests[1]?.auth, "Bearer key");
  assertEquals(server.requests[1]?.body.chat_template_kwargs, { enable_thinking: false });
  conversation.reset();
  assertEquals(conversation.turns, [start]);
});

Deno.test("Conversation.ask() writes what went wrong and goes on", async () => {
  await using server = startChatServer();
  const { conversation, ask } = converse(server);
  server.refusal = [400, '{"error": {"message": "too long"}}'];
  assertStringIncludes(await ask("1"), "too long");
  server.refusal = [502, "<html>"];
  assertStringIncludes(await ask("1"), "The server answered 502: <html>");
  server.refusal = null;
  server.answer = [delta({ content: "par" }), data({ error: { message: "the GPU was lost" } })];
  assertEquals(await ask("2"), "par\nthe GPU was lost\n");
  server.answer = [delta({ content: "par" })];
  assertStringIncludes(await ask("3"), "cut off");
  assertEquals(conversation.turns.map(({ content }) => content), [
    "Be terse.",
    "2",
    "par",
    "3",
    "par",
  ]);
});

Deno.test("Conversation.ask() stops when told and keeps what came", async () => {
  await using server = startChatServer();
  server.answer = [delta({ content: "begin" }), 200, delta({ content: " more" }), ...END];
  const { conversation, ask } = converse(server);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  assertEquals(await ask("1", controller.signal), "begin [stopped]\n");
  assertEquals(conversation.turns.at(-1), { role: "assistant", content: "begin" });
});

Deno.test("parseChatArguments() keeps its own options and passes the others on", () => {
  const parse = (args: string[], env: Record<string, string> = {}) =>
    parseChatArguments(args, (name) => env[name]);
  const named = parse(["--url=http://box:1/v1/", "--system", "s", "--no-think"]);
  assertEquals(named.client, { url: "http://box:1", apiKey: undefined, enableThinking: false });
  assertEquals([named.system, named.remote, named.serve], ["s", true, []]);
  const own = parse(["--model", "m", "--port=9", "--host", "0.0.0.0"], { DELTAPAGE_API_KEY: "k" });
  assertEquals(own.client, {
    url: "http://127.0.0.1:9",
    apiKey: "k",
    enableThinking: undefined,
  });
  assertEquals(own.serve, ["--model", "m", "--port=9", "--host", "0.0.0.0"]);
  assertEquals(parse(["--host", "::1"], { PORT: "81" }).client.url, "http://[::1]:81");
  assertEquals(parse(["--url", "localhost:9100"]).client.url, "http://localhost:9100");
  for (const url of ["", "ftp://box", "http://"]) {
    assertThrows(() => parse(["--url", url]), ChatError, `Cannot use the address "${url}"`);
  }
});

Deno.test("serverState() tells ready from absent", async () => {
  const server = startChatServer();
  assertEquals(await serverState(server), "ready");
  await server[Symbol.asyncDispose]();
  assertEquals(await serverState(server), null);
});

// A page of another server once came out as one that is loading, for ever.
Deno.test("serverState() refuses what is no such server", async () => {
  await using server = startChatServer();
  await assertRejects(() => serverState({ url: `${server.url}/page` }), ChatError, "answers 404");
});

Deno.test("chat.ts stops an answer at SIGINT and goes on", async () => {
  await using server = startChatServer();
  server.answer = [delta({ content: "begin" }), 20_000];
  const script = new URL("../../deploy/chat.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--cached-only", "-A", script, "--url", server.url],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  const type = (text: string) => input.write(new TextEncoder().encode(text));
  await type("question\n");
  let seen = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const before = seen;
    seen += text;
    const came = (what: string) => !before.includes(what) && seen.includes(what);
    if (came("begin")) child.kill("SIGINT");
    if (came("[stopped]")) {
      server.answer = [delta({ content: "again" }), ...END];
      await type("second\n/exit\n");
    }
  }
  await input.close().catch(() => {});
  assertEquals((await child.status).code, 0);
  assert(seen.indexOf("again") > seen.indexOf("[stopped]"), seen);
  assertStringIncludes(seen, "7 tokens, 12.3 tokens/s");
});
