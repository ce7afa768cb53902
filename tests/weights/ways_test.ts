import { assert, assertEquals, assertRejects } from "@std/assert";
import { WeightsError } from "../../weights/errors.ts";
import type { ByteSource, ReadWay } from "../../weights/byte_source.ts";
import { openSource } from "../../weights/source.ts";

const SIZE = 3_000_001;
const onLinux = Deno.build.os === "linux";
const WAYS: readonly ReadWay[] = onLinux ? ["pread", "cached", "mmap"] : ["pread"];
const bytes = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) & 255);

async function withFile(
  body: (source: ByteSource, path: string) => Promise<void>,
): Promise<void> {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, bytes);
  const source = openSource(path, "mmap");
  try {
    await body(source, path);
  } finally {
    source.close();
    Deno.removeSync(path);
  }
}

Deno.test("a source says how it can read", () =>
  withFile((source, path) => {
    assertEquals(source.ways, WAYS);
    const plain = openSource(path, "pread");
    assertEquals([plain.ways, plain.willNeed(0, 10)], [["pread"], false]);
    plain.close();
    return Promise.resolve();
  }));

for (const way of WAYS) {
  Deno.test(`readInto() by ${way} fills parts of an array, several at once, and counts`, () =>
    withFile(async (source) => {
      const into = new Uint8Array(SIZE + 20);
      const cuts = [0, 1, 4095, 70_000, 2_000_000, SIZE];
      const part = (i: number) => into.subarray(10 + cuts[i]!, 10 + cuts[i + 1]!);
      await Promise.all(
        cuts.slice(1).map((_, i) => source.readInto(cuts[i]!, part(i), way)),
      );
      assertEquals(into.subarray(10, -10), bytes);
      assert([...into.subarray(0, 10), ...into.subarray(-10)].every((byte) => byte === 0));
      assertEquals(source.bytesRead, SIZE);
    }));

  Deno.test(`readInto() by ${way} says that the file was cut`, () =>
    withFile(async (source, path) => {
      await source.readInto(0, new Uint8Array(SIZE), way);
      Deno.truncateSync(path, 1_000_000);
      for (const [offset, length] of [[2_000_000, 10], [900_000, 200_000], [0, SIZE]] as const) {
        const read = source.readInto(offset, new Uint8Array(length), way);
        const { message } = await assertRejects(() => read, WeightsError, path);
        assert(message.includes("found 1000000 bytes"), message);
      }
      const into = new Uint8Array(1000);
      await source.readInto(999_000, into, way);
      assertEquals(into, bytes.slice(999_000, 1_000_000));
    }));
}

/** Cuts the file when its pages are populated and the thread has not yet gone on to the copy. */
const CUT_BETWEEN = `
  import { openSource } from "${import.meta.resolve("../../weights/source.ts")}";
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, new Uint8Array(${SIZE}));
  const source = openSource(path, "mmap");
  const read = source.readInto(0, new Uint8Array(${SIZE}), "mmap");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  Deno.truncateSync(path, 1_000_000);
  console.log(await read.then(() => "read", (error) => error.name + ": " + error.message));
  source.close();
  Deno.removeSync(path);
`;

// A file that lost its end at that moment once ended the process with SIGBUS.
Deno.test({
  name: "readInto() by mmap lives through a cut between populating and copying",
  ignore: !onLinux,
  fn: async () => {
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", "--no-config", "--ext=ts", CUT_BETWEEN],
      stderr: "null",
    }).output();
    const said = new TextDecoder().decode(stdout);
    assert(code === 0 && said.startsWith("WeightsError"), `code ${code}: ${said}`);
    assert(said.includes("found 1000000 bytes"), said);
  },
});

Deno.test({
  name: "readInto() by cached reads what the page cache does not hold too",
  ignore: !onLinux,
  fn: () =>
    withFile(async (source, path) => {
      await dropCache(path);
      const into = new Uint8Array(SIZE);
      await source.readInto(0, into, "cached");
      assertEquals(into, bytes);
      assertEquals(source.bytesRead, SIZE);
    }),
});

Deno.test({
  name: "willNeed() tells the system of what the page cache has not, and close() waits for it",
  ignore: !onLinux,
  fn: () =>
    withFile(async (source, path) => {
      assertEquals([source.canHint, source.willNeed(0, SIZE)], [true, false]);
      await dropCache(path);
      assertEquals([source.willNeed(0, SIZE), source.bytesRead], [true, 0]);
      source.close();
      assertEquals(source.willNeed(0, SIZE), false);
    }),
});

Deno.test("a file that took another one's name is not mixed into reads", async () => {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, bytes);
  const source = openSource(path, "pread");
  Deno.removeSync(path);
  await assertRejects(() => source.read(0, 10), WeightsError, path);
  Deno.writeFileSync(path, bytes.toReversed());
  await assertRejects(() => source.read(0, 10), WeightsError, "another file");
  source.close();
  Deno.removeSync(path);
});

/** Writes the file's pages to the disk, then asks the system to forget them. */
async function dropCache(path: string): Promise<void> {
  using file = Deno.openSync(path, { read: true, write: true });
  file.syncSync();
  await new Deno.Command("dd", {
    args: [`if=${path}`, "iflag=nocache", "count=0"],
    stderr: "null",
  }).output();
}
