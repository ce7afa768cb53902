import { assert, assertEquals, assertThrows } from "@std/assert";
import { WeightsError } from "../../weights/errors.ts";
import { openSnapshot } from "../../weights/shards.ts";
import type { SourceKind } from "../../weights/byte_source.ts";
import { writeSafetensors, writeSnapshot } from "../../weights/writer.ts";
import { assertFault, patternTensor, withFolder } from "./fixture.ts";

const TENSORS = Array.from({ length: 7 }, (_, i) => patternTensor(`t.${i}`, [10, 5], { seed: i }));
const INDEX = "model.safetensors.index.json";
const shard = (i: number) => `model-0000${i}-of-00003.safetensors`;

/** A snapshot of three shards, three tensors in each but the last. */
function withShards(body: (folder: string) => Promise<void> | void): Promise<void> {
  return withFolder((folder) => {
    const files = writeSnapshot(folder, TENSORS, { maxShardBytes: 300 });
    assertEquals(files, [shard(1), shard(2), shard(3), INDEX]);
    return body(folder);
  });
}

interface IndexFile {
  metadata: { total_size?: number };
  weight_map: Record<string, string>;
}

function editIndex(folder: string, edit: (index: IndexFile) => void): void {
  const path = `${folder}/${INDEX}`;
  const index: IndexFile = JSON.parse(Deno.readTextFileSync(path));
  edit(index);
  Deno.writeTextFileSync(path, JSON.stringify(index));
}

for (const source of ["mmap", "pread"] as SourceKind[]) {
  Deno.test(`openSnapshot() by ${source} reads shards and a single file alike`, async () => {
    for (const options of [{}, { maxShardBytes: 300 }]) {
      await withFolder(async (folder) => {
        writeSnapshot(folder, TENSORS, options);
        const snapshot = openSnapshot(folder, { source });
        assertEquals([snapshot.kind, snapshot.warnings, snapshot.byteLength], [source, [], 700]);
        assertEquals([...snapshot.names()].sort(), TENSORS.map(({ name }) => name));
        for (const { name, data } of TENSORS) {
          const tensor = snapshot.tensor(name);
          assertEquals(await tensor.read(), data());
          const part = new Uint8Array(30);
          tensor.readSync(70, part);
          assertEquals(part, data().slice(70));
          await tensor.readInto(1, part);
          assertEquals(part, data().slice(1, 31));
          assertThrows(() => tensor.readSync(71, part), WeightsError, `"${name}"`);
        }
        snapshot.close();
      });
    }
  });
}

Deno.test("Snapshot finds scales and names what is missing", () =>
  withFolder((folder) => {
    writeSnapshot(folder, [
      patternTensor("a.weight", [4]),
      patternTensor("a.weight_scale_inv", [1]),
    ]);
    const snapshot = openSnapshot(folder);
    assertEquals(snapshot.scaleOf("a.weight")?.name, "a.weight_scale_inv");
    assertEquals(snapshot.scaleOf("a.weight_scale_inv"), undefined);
    assertEquals([snapshot.has("a.weight"), snapshot.has("b")], [true, false]);
    assertFault(() => snapshot.tensor("b"), '"b"', folder);
    snapshot.close();
  }));

Deno.test("openSnapshot() refuses missing shards, listing them", () =>
  withShards((folder) => {
    Deno.removeSync(`${folder}/${shard(2)}`);
    assertFault(() => openSnapshot(folder), folder, "found 2 of 3 shards", `"${shard(2)}" missing`);
    Deno.removeSync(`${folder}/${shard(1)}`);
    assertFault(() => openSnapshot(folder), "found 1 of 3 shards", shard(1), shard(2));
  }));

Deno.test("openSnapshot() refuses a folder without weights, or that is not there", () =>
  withFolder((folder) => {
    assertFault(() => openSnapshot(folder), folder, "found neither", "model.safetensors");
    assertFault(() => openSnapshot(`${folder}/x`), "Cannot open the model folder", `${folder}/x`);
  }));

Deno.test("openSnapshot() refuses an extra shard", async () => {
  await withShards((folder) => {
    Deno.copyFileSync(`${folder}/${shard(1)}`, `${folder}/model-00004-of-00004.safetensors`);
    assertFault(() => openSnapshot(folder), '"model-00004-of-00004.safetensors"', "expected 3");
  });
  await withFolder((folder) => {
    writeSnapshot(folder, TENSORS);
    writeSafetensors(`${folder}/more.safetensors`, [patternTensor("m", [1])]);
    assertFault(
      () => openSnapshot(folder),
      '"more.safetensors"',
      "there is no model.safetensors.index",
    );
  });
});

Deno.test("openSnapshot() refuses a shard that is cut, or swapped with another", () =>
  withShards((folder) => {
    const path = `${folder}/${shard(3)}`;
    const whole = Deno.readFileSync(path);
    Deno.truncateSync(path, whole.length - 1);
    assertFault(
      () => openSnapshot(folder),
      path,
      "truncated",
      `found ${whole.length - 1} bytes`,
      '"t.6"',
    );
    Deno.copyFileSync(`${folder}/${shard(2)}`, path);
    assertFault(() => openSnapshot(folder), '"t.3"', shard(2), shard(3));
    Deno.writeFileSync(path, whole);
    Deno.renameSync(path, `${folder}/x`);
    Deno.renameSync(`${folder}/${shard(1)}`, path);
    Deno.renameSync(`${folder}/x`, `${folder}/${shard(1)}`);
    assertFault(
      () => openSnapshot(folder),
      '"t.0"',
      `found it in "${path}"`,
      `expects it in "${shard(1)}"`,
    );
  }));

Deno.test("openSnapshot() refuses tensors that only index or shard knows", async () => {
  await withShards((folder) => {
    editIndex(folder, (index) => index.weight_map["t.9"] = shard(1));
    assertFault(() => openSnapshot(folder), '"t.9"', "no shard has it", shard(1));
  });
  await withShards((folder) => {
    editIndex(folder, (index) => delete index.weight_map["t.4"]);
    assertFault(() => openSnapshot(folder), '"t.4"', `${folder}/${shard(2)}`, "does not name it");
  });
});

Deno.test("openSnapshot() refuses an index that is not sound", () =>
  withShards((folder) => {
    const path = `${folder}/${INDEX}`;
    editIndex(folder, (index) => index.weight_map["t.0"] = "../other.safetensors");
    assertFault(() => openSnapshot(folder), path, '"t.0"', "../other.safetensors");
    for (const text of ["{", "null", "{}", '{"weight_map":{}}', '{"weight_map":3}']) {
      Deno.writeTextFileSync(path, text);
      assertFault(() => openSnapshot(folder), path);
    }
  }));

Deno.test("openSnapshot() warns of a total_size that differs, with both numbers", () =>
  withShards((folder) => {
    editIndex(folder, (index) => index.metadata.total_size = 701);
    const snapshot = openSnapshot(folder);
    assertEquals(snapshot.warnings.length, 1);
    assert(/\b701\b.*\b700\b/.test(snapshot.warnings[0] ?? ""), snapshot.warnings[0]);
    snapshot.close();
    editIndex(folder, (index) => delete index.metadata.total_size);
    const quiet = openSnapshot(folder);
    assertEquals(quiet.warnings, []);
    quiet.close();
  }));

Deno.test("openSnapshot() reports progress a shard", () =>
  withShards((folder) => {
    const seen: number[][] = [];
    openSnapshot(folder, { onShard: (done, total) => seen.push([done, total]) }).close();
    assertEquals(seen, [[1, 3], [2, 3], [3, 3]]);
  }));

Deno.test("Snapshot survives a shard cut while it is open", () =>
  withShards(async (folder) => {
    const snapshot = openSnapshot(folder);
    Deno.truncateSync(`${folder}/${shard(1)}`, 100);
    const tensor = snapshot.tensor("t.0");
    assertFault(() => tensor.readSync(0, new Uint8Array(100)), shard(1), "changed while in use");
    assertEquals(await snapshot.tensor("t.3").read(), TENSORS[3]?.data());
    snapshot.close();
  }));
