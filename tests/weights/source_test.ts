import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { WeightsError } from "../../weights/errors.ts";
import { grantedLibc, LIBC_PATHS } from "../../weights/libc.ts";
import { MappedSource } from "../../weights/mmap.ts";
import type { ByteSource, SourceKind } from "../../weights/byte_source.ts";
import { openSource } from "../../weights/source.ts";

const KINDS: readonly SourceKind[] = ["mmap", "pread"];
const SIZE = 300_001;
/** Of a file cut to 100,000: short and long, behind the end, across it, inside the last page. */
const CUT_RANGES = [
  [250_000, 10],
  [90_000, 20_000],
  [100_001, 10],
  [150_000, 150_000],
  [20_000, 200_000],
  [30_000, 72_000],
] as const;

function pattern(size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

async function withFile(
  kind: SourceKind,
  size: number,
  body: (source: ByteSource, path: string, bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const path = Deno.makeTempFileSync();
  const bytes = pattern(size);
  Deno.writeFileSync(path, bytes);
  const source = openSource(path, kind);
  try {
    await body(source, path, bytes);
  } finally {
    source.close();
    Deno.removeSync(path);
  }
}

for (const kind of KINDS) {
  Deno.test(`openSource() by ${kind} reads every kind of range`, () =>
    withFile(kind, SIZE, async (source, _path, bytes) => {
      assertEquals([source.kind, source.size], [kind, SIZE]);
      const ranges = [[0, 0], [0, 1], [1, 15], [4095, 2], [65_535, 70_000], [SIZE - 1, 1], [
        0,
        SIZE,
      ]];
      ranges.push([SIZE, 0]);
      for (const [offset, length] of ranges as [number, number][]) {
        const into = new Uint8Array(length);
        source.readSync(offset, into);
        assertEquals(into, bytes.slice(offset, offset + length));
        assertEquals(await source.read(offset, length), bytes.slice(offset, offset + length));
      }
    }));

  Deno.test(`openSource() by ${kind} fills a part of a larger array`, () =>
    withFile(kind, 1000, async (source, _path, bytes) => {
      const into = new Uint8Array(100);
      source.readSync(10, into.subarray(20, 30));
      await source.readInto(50, into.subarray(40, 50));
      assertEquals(into.slice(20, 30), bytes.slice(10, 20));
      assertEquals(into.slice(40, 50), bytes.slice(50, 60));
      assertEquals([...into.slice(0, 20), ...into.slice(50)], new Array(70).fill(0));
    }));

  Deno.test(`openSource() by ${kind} reads 40 ranges at once`, () =>
    withFile(kind, SIZE, async (source, _path, bytes) => {
      const offsets = Array.from({ length: 40 }, (_, i) => i * 7001);
      const parts = await Promise.all(offsets.map((offset) => source.read(offset, 5000)));
      parts.forEach((part, i) => {
        assertEquals(part, bytes.slice(offsets[i], (offsets[i] ?? 0) + 5000));
      });
    }));

  Deno.test(`openSource() by ${kind} refuses ranges outside the file, naming it`, () =>
    withFile(kind, 1000, async (source, path) => {
      for (const [offset, length] of [[1000, 1], [-1, 1], [0, 1001], [0.5, 1]] as const) {
        assertThrows(() => source.readSync(offset, new Uint8Array(length)), WeightsError, path);
        await assertRejects(() => source.read(offset, length), WeightsError, "has 1000");
      }
    }));

  Deno.test(`openSource() by ${kind} survives a file that is cut while open`, () =>
    withFile(kind, SIZE, async (source, path, bytes) => {
      source.readSync(0, new Uint8Array(SIZE));
      Deno.truncateSync(path, 100_000);
      for (const [offset, length] of CUT_RANGES) {
        assertThrows(() => source.readSync(offset, new Uint8Array(length)), WeightsError, path);
        const error = await assertRejects(() => source.read(offset, length), WeightsError);
        assert(error.message.includes("found 100000 bytes"), error.message);
        assert(error.message.includes(`at least ${offset + length}`), error.message);
      }
      const into = new Uint8Array(1000);
      source.readSync(99_000, into);
      assertEquals(into, bytes.slice(99_000, 100_000));
    }));

  Deno.test(`openSource() by ${kind} lets reads end after close() and refuses later ones`, () =>
    withFile(kind, SIZE, async (source, _path, bytes) => {
      const reads = Array.from({ length: 12 }, () => source.read(0, SIZE));
      source.close();
      source.close();
      for (const read of reads) assertEquals(await read, bytes);
      assertThrows(() => source.readSync(0, new Uint8Array(1)), WeightsError, "closed");
      await assertRejects(() => source.read(0, 1), WeightsError, "closed");
    }));

  Deno.test(`openSource() by ${kind} opens an empty file`, () =>
    withFile(kind, 0, async (source) => {
      assertEquals(source.size, 0);
      assertEquals(await source.read(0, 0), new Uint8Array(0));
      assertThrows(() => source.readSync(0, new Uint8Array(1)), WeightsError);
    }));

  Deno.test(`openSource() by ${kind} names a file that is not there`, () => {
    assertThrows(() => openSource("/nowhere/x.safetensors", kind), WeightsError, "/nowhere/x");
  });
}

Deno.test("MappedSource maps where the kernel can populate", () =>
  withFile("mmap", 10, (source) => {
    assert(source instanceof MappedSource);
    assertEquals(source.mapped, Deno.build.os === "linux");
  }));

const CHILD = `
  import { openSource } from ${JSON.stringify(new URL("../../weights/source.ts", import.meta.url))};
  const [path, choice] = Deno.args;
  try {
    const source = openSource(path, choice);
    console.log(source.kind, (await source.read(1, 3)).join());
  } catch (error) { console.log(error.name + ": " + error.message); }
`;

async function child(flags: string[], choice: string): Promise<string> {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, pattern(10));
  const script = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(script, CHILD);
  const args = ["run", "--no-prompt", "--no-config", `--allow-read=${path}`, ...flags, script];
  const command = new Deno.Command(Deno.execPath(), { args: [...args, path, choice] });
  const { stdout, stderr } = await command.output();
  Deno.removeSync(path);
  Deno.removeSync(script);
  return (new TextDecoder().decode(stdout) || new TextDecoder().decode(stderr)).trim();
}

Deno.test("openSource() maps with FFI limited to libc's path", async () => {
  const libc = grantedLibc();
  assert(libc !== undefined, "no libc of LIBC_PATHS could be loaded");
  assertEquals(await child([`--allow-ffi=${libc}`], "auto"), "mmap 31,62,93");
});

Deno.test("openSource() reads without FFI where it is refused, and says how to allow it", async () => {
  assertEquals(await child([], "auto"), "pread 31,62,93");
  const refusal = await child([], "mmap");
  assert(refusal.includes(`allow --allow-ffi=${LIBC_PATHS[0]}`), refusal);
});

Deno.test("openSource() says why libc would not open a file, which once it kept to itself", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/socket`; // cannot be opened by root either
  const listener = Deno.listen({ transport: "unix", path });
  for (const kind of KINDS) {
    assertThrows(() => openSource(path, kind), WeightsError, "no such device or address");
  }
  listener.close();
  await Deno.remove(folder, { recursive: true });
});
