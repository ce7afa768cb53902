import { assertEquals, assertRejects } from "@std/assert";
import { TextLineStream, toTransformStream } from "@std/streams";

async function lines(chunks: string[], options?: { allowCR: boolean }): Promise<string[]> {
  const source = ReadableStream.from(chunks);
  return await Array.fromAsync(source.pipeThrough(new TextLineStream(options)));
}

Deno.test("TextLineStream splits alike wherever the pieces are cut", async () => {
  const text = "one\r\ntwo\n\nthree\r\n\r\nlast";
  const expected = ["one", "two", "", "three", "", "last"];
  assertEquals(await lines([text]), expected);
  assertEquals(await lines([...text]), expected);
  for (let cut = 0; cut <= text.length; cut++) {
    assertEquals(await lines([text.slice(0, cut), text.slice(cut)]), expected);
  }
});

Deno.test("TextLineStream ends lines at a lone carriage return only when told to", async () => {
  assertEquals(await lines(["a\rb\n"]), ["a\rb"]);
  assertEquals(await lines(["a\rb\r", "\nc\r"], { allowCR: true }), ["a", "b", "c"]);
});

Deno.test("toTransformStream() asks for one value a read", async () => {
  let asked = 0;
  const source = new ReadableStream<number>({
    pull: (controller) => controller.enqueue(asked++),
  }, { highWaterMark: 0 });
  const reader = source
    .pipeThrough(toTransformStream(async function* (values: ReadableStream<number>) {
      for await (const value of values) yield value * 2;
    }))
    .getReader();
  assertEquals((await reader.read()).value, 0);
  assertEquals((await reader.read()).value, 2);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(asked < 8, true, `asked for ${asked}`);
  await reader.cancel();
});

Deno.test("toTransformStream() passes on the generator's error, and the reader's leaving", async () => {
  const failing = ReadableStream.from([1, 2]).pipeThrough(
    toTransformStream(function* (_: ReadableStream<number>) {
      yield 1;
      throw new RangeError("no more");
    }),
  );
  await assertRejects(() => Array.fromAsync(failing), RangeError, "no more");

  let left: unknown;
  const reader = ReadableStream.from([1, 2]).pipeThrough(
    toTransformStream(async function* (values: ReadableStream<number>) {
      try {
        for await (const value of values) yield value;
      } catch (error) {
        left = error;
        throw error;
      }
    }),
  ).getReader();
  await reader.read();
  await reader.cancel("enough");
  assertEquals(left, "enough");
});
