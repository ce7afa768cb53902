import { assert, assertEquals, assertThrows } from "@std/assert";
import { readTensorTable } from "../../weights/safetensors.ts";
import { openSource } from "../../weights/source.ts";
import { writeSafetensors } from "../../weights/writer.ts";
import { assertFault, patternTensor, withFolder } from "./fixture.ts";

interface Entry {
  dtype?: unknown;
  shape?: unknown;
  data_offsets?: unknown;
}

/** A file with this header and this many bytes of data. */
function writeRaw(path: string, header: string, dataBytes: number, headerBytes?: number): void {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes ?? json.length), true);
  bytes.set(json, 8);
  Deno.writeFileSync(path, bytes);
}

function table(path: string): ReturnType<typeof readTensorTable> {
  const source = openSource(path, "pread");
  try {
    return readTensorTable(source);
  } finally {
    source.close();
  }
}

/** Expects a fault that names the file and every part. */
function refused(header: Record<string, Entry> | string, bytes: number, ...parts: string[]) {
  return withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    writeRaw(path, typeof header === "string" ? header : JSON.stringify(header), bytes);
    assertFault(() => table(path), path, ...parts);
  });
}

const good: Entry = { dtype: "BF16", shape: [2, 3], data_offsets: [0, 12] };

Deno.test("readTensorTable() reads what writeSafetensors() wrote, scalars and empty tensors too", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.safetensors`;
    const tensors = [
      patternTensor("w", [3, 5], { dtype: "F8_E4M3", seed: 1 }),
      patternTensor("empty", [0, 4], { dtype: "F32" }),
      patternTensor("scalar", [], { dtype: "F32", seed: 2 }),
      patternTensor("__proto__", [1], { dtype: "BF16", seed: 3 }),
    ];
    writeSafetensors(path, tensors);
    const source = openSource(path, "pread");
    const found = readTensorTable(source);
    assertEquals([...found.keys()].sort(), ["__proto__", "empty", "scalar", "w"]);
    for (const { name, dtype, shape, data } of tensors) {
      const entry = found.get(name);
      assert(entry !== undefined);
      assertEquals([entry.dtype, entry.shape, entry.file], [dtype, shape, path]);
      assertEquals(await source.read(entry.begin, entry.end - entry.begin), data());
    }
    source.close();
  }));

Deno.test("readTensorTable() refuses a file that is shorter than its header", () =>
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    Deno.writeFileSync(path, new Uint8Array(7));
    assertFault(() => table(path), path, "found 7 bytes", "at least the 8");
    writeRaw(path, "{}", 0, 3);
    assertFault(
      () => table(path),
      path,
      "header is longer than the file",
      "found 10",
      "at least 11",
    );
    Deno.writeFileSync(path, new Uint8Array(64).fill(0xff));
    assertFault(() => table(path), path, "header is longer than the file", "18446744073709551623");
    assertFault(() => table(path), "download it again");
  }));

Deno.test("readTensorTable() knows what a clone without Git LFS leaves in a file's place", () =>
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 6299828\n";
    Deno.writeTextFileSync(path, pointer);
    assertFault(() => table(path), path, "found a Git LFS pointer", 'run "git lfs pull"');
  }));

Deno.test("readTensorTable() refuses a header that is not a JSON object", async () => {
  await refused('{"w": ', 0, "not JSON");
  await refused("[]", 0, "not a JSON object");
  await refused("null", 0, "not a JSON object");
  await withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    Deno.writeFileSync(path, Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe));
    assertFault(() => table(path), path, "not UTF-8");
  });
});

Deno.test("readTensorTable() refuses entries that are not sound, naming the tensor", async () => {
  const cases: [Entry, string, string][] = [
    [{ ...good, dtype: "F4" }, 'unknown dtype "F4"', "F8_E4M3"],
    [{ ...good, dtype: undefined }, "unknown dtype", "BF16"],
    [{ ...good, dtype: "toString" }, 'unknown dtype "toString"', "BF16"],
    [{ ...good, shape: [2, -3] }, "shape is [2,-3]", "non-negative"],
    [{ ...good, shape: "2x3" }, "shape is", "list"],
    [{ ...good, shape: [1e200, 1e200] }, "shape is", "list"],
    [{ ...good, data_offsets: [0] }, "data_offsets are [0]", "two"],
    [{ ...good, data_offsets: [12, 0] }, "backwards", "from 12 to 0"],
    [{ ...good, shape: [2, 4] }, "found 12 bytes", "expected 16 for BF16 [2, 4]"],
    [{ ...good, dtype: "F32" }, "found 12 bytes", "expected 24"],
  ];
  for (const [entry, ...parts] of cases) await refused({ "a.w": entry }, 12, '"a.w"', ...parts);
  await refused('{"a.w": 3}', 0, '"a.w"', "not an object");
});

Deno.test("readTensorTable() refuses overlaps, holes and bytes outside the file", async () => {
  const at = (begin: number): Entry => ({ ...good, data_offsets: [begin, begin + 12] });
  await refused({ a: at(0), b: at(11) }, 23, '"b"', "overlaps", '"a"');
  await refused({ a: at(0), b: at(0) }, 12, '"b"', "overlaps", '"a"');
  await refused({ a: at(0), b: at(13) }, 25, '"b"', "leaves a hole", '"a"');
  await refused({ a: at(4) }, 16, '"a"', "leaves a hole", "the header");
  await refused({ a: at(0), b: at(12) }, 23, "truncated", '"b" ends at', "download it again");
  await refused({ a: at(0) }, 13, "too long", "expected");
});

Deno.test("readTensorTable() refuses a name given twice, also with escapes", async () => {
  const one = JSON.stringify(good);
  await refused(`{"w":${one},"w":${one}}`, 12, '"w" twice');
  await refused(`{"w":${one},"\\u0077":${one}}`, 12, "twice");
  await withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    const metadata = JSON.stringify({ format: 'a "w": {', list: "shape, dtype" });
    writeRaw(path, `{"__metadata__":${metadata},"w":${one}}`, 12);
    assertEquals([...table(path).keys()], ["w"]);
  });
});

Deno.test("readTensorTable() finds a real file cut at any place", () =>
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    writeSafetensors(path, [patternTensor("w", [40]), patternTensor("v", [3])]);
    const size = Deno.statSync(path).size;
    for (let length = size - 1; length >= 0; length -= 13) {
      Deno.truncateSync(path, length);
      assertFault(() => table(path), path, `found ${length} bytes`);
    }
  }));

Deno.test("readTensorTable() survives any flipped byte of a header: an error or a sound table", () =>
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    writeSafetensors(path, [patternTensor("w", [4, 4]), patternTensor("v", [3])]);
    const bytes = Deno.readFileSync(path);
    const end = bytes.length - 38;
    let faults = 0;
    for (let i = 0; i < end; i++) {
      const flipped = bytes.slice();
      flipped[i] = (flipped[i] ?? 0) ^ 4;
      Deno.writeFileSync(path, flipped);
      try {
        assertEquals(table(path).size, 2);
      } catch (error) {
        assertFault(() => {
          throw error;
        }, path);
        faults++;
      }
    }
    assert(faults > end / 2, `${faults} of ${end} flips were noticed`);
  }));

Deno.test("writeSafetensors() aligns the data to 8 bytes and refuses data of another length", () =>
  withFolder((folder) => {
    const path = `${folder}/a.safetensors`;
    writeSafetensors(path, [patternTensor("w", [5])]);
    assertEquals((table(path).get("w")?.begin ?? 1) % 8, 0);
    const wrong = {
      ...patternTensor("w", [5]),
      data: () => [new Uint8Array(4), new Uint8Array(5)],
    };
    assertThrows(() => writeSafetensors(path, [wrong]), RangeError, "found 9 bytes, expected 10");
  }));
