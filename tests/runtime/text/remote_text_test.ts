import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type ChatMessage,
  NoTokenizerError,
  RemoteText,
  TemplateError,
  TextError,
} from "../../../runtime/mod.ts";
import type { TextPort } from "../../../runtime/text/remote_text.ts";
import type { ToTextWorker } from "../../../runtime/text/text_protocol.ts";
import { GOLDEN, golden, model, tokenizer } from "./fixture.ts";

const DEMO = new URL("../../../weights/demo", import.meta.url).pathname;

/** Opens a folder for one test. */
async function open(folder: string): Promise<RemoteText & Disposable> {
  const text = await RemoteText.open(folder);
  return Object.assign(text, { [Symbol.dispose]: () => text.close() });
}

async function inFolder(
  files: Record<string, string>,
  test: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("RemoteText answers as the text model would in this thread", async () => {
  using text = await open(GOLDEN);
  assertEquals(text.hasTemplate, true);
  assertEquals(text.vocabulary.size, tokenizer.size);
  for (const { messages } of golden<{ messages: ChatMessage[] }[]>("conversations.json")) {
    assertEquals(await text.encodeChat(messages), model.encodeChat(messages));
  }
  const prompt = "<|im_start|>naïve 天<think>";
  for (const special of [true, false]) {
    const ids = tokenizer.encode(prompt, { special });
    assertEquals(await text.encode(prompt, { special }), ids);
    assertEquals(
      await text.decode(ids, { skipSpecial: special }),
      special ? "naïve 天<think>" : prompt,
    );
  }
});

Deno.test("RemoteText throws what the text model throws", async () => {
  using text = await open(GOLDEN);
  await assertRejects(() => text.encodeChat([]), TemplateError, "No messages provided");
  await inFolder({}, async (folder) => {
    using none = await open(folder);
    assertEquals([none.hasTemplate, none.vocabulary.size], [false, 0]);
    assertEquals(await none.decode([1], { skipSpecial: false }), "");
    const encode = () => none.encode("x", { special: true });
    await assertRejects(encode, NoTokenizerError, "no tokenizer.json");
  });
});

Deno.test("RemoteText.open() names what is wrong with a snapshot", async () => {
  await inFolder(
    { "tokenizer.json": "{" },
    async (folder) =>
      void await assertRejects(
        () => RemoteText.open(folder),
        TextError,
        `Cannot load "${folder}/tokenizer.json"`,
      ),
  );
  const fixture = Deno.readTextFileSync(`${GOLDEN}tokenizer.json`);
  await inFolder(
    { "tokenizer.json": fixture, "chat_template.jinja": "{% if %}" },
    async (folder) =>
      void await assertRejects(() => RemoteText.open(folder), TextError, "chat template"),
  );
});

Deno.test("RemoteText leaves this thread free while a long prompt is encoded", async () => {
  using text = await open(DEMO);
  const content = Deno.readTextFileSync(new URL("../../../README.md", import.meta.url)).repeat(40);
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const start = performance.now();
  const { ids } = await text.encodeChat([{ role: "user", content }]);
  const ms = performance.now() - start;
  clearInterval(timer);
  assert(ids.length > 100_000, `only ${ids.length} ids`);
  // In this thread the work would have left it not a single turn.
  assert(turns > ms / 50, `${turns} turns in ${Math.round(ms)} ms`);
});

Deno.test("RemoteText serves a short prompt before a long one that came first, and stops on a signal", async () => {
  using text = await open(DEMO);
  const content = Array.from({ length: 300_000 }, (_, i) => `${i * 7919 % 9973} w${i % 811}`).join(
    " ",
  );
  const leave = new AbortController();
  let ended = false;
  const long = text.encode(content, { special: false }, leave.signal).finally(() => ended = true);
  const caught = assertRejects(() => long, DOMException, "aborted");
  for (let i = 0; i < 5; i++) await text.encode("short", { special: false });
  assertEquals(ended, false);
  leave.abort();
  await caught;
  await assertRejects(() => text.encode("x", { special: false }, leave.signal), DOMException);
});

Deno.test("RemoteText tells the worker what is wanted no more, and fails with it", async () => {
  await inFolder({}, async (folder) => {
    const sent: ToTextWorker[] = [];
    const port: TextPort = {
      postMessage: (message) => sent.push(message),
      terminate: () => {},
      onmessage: null,
      onerror: null,
    };
    const opening = RemoteText.open(folder, () => port);
    const vocabulary = { added: [], pieces: [] };
    const opened = { type: "opened", vocabulary, hasTemplate: false } as const;
    port.onmessage!(new MessageEvent("message", { data: opened }));
    const text = await opening;
    const leave = new AbortController();
    const [first, second] = ["1", "2"].map((one) =>
      text.encode(one, { special: true }, leave.signal)
    );
    const other = text.encode("3", { special: true });
    port.onmessage!(
      new MessageEvent("message", { data: { type: "done", id: 1, result: Float64Array.of(7) } }),
    );
    assertEquals(await first, [7]);
    leave.abort();
    await assertRejects(() => second!, DOMException);
    assertEquals(sent.at(-1), { type: "cancel", id: 2 });
    port.onerror!(new ErrorEvent("error", { message: "out of memory", cancelable: true }));
    await assertRejects(() => other, TextError, "out of memory");
    assertEquals((await text.broken).message, "The text worker stopped: out of memory");
  });
});
