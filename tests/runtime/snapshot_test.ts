import { assertEquals, assertThrows } from "@std/assert";
import { modelName, readSnapshotConfig } from "../../runtime/snapshot.ts";
import { WeightsError } from "../../weights/mod.ts";

Deno.test("modelName() is the folder's name, or the repository's in a cache of Hugging Face's tools", () => {
  const cached = "/c/hub/models--Qwen--Qwen3.5-35B-A3B-FP8/snapshots/0f1e2d";
  assertEquals(["/m/demo/", "weights/demo", cached, "/backup/snapshots/x"].map(modelName), [
    "demo",
    "demo",
    "Qwen3.5-35B-A3B-FP8",
    "x",
  ]);
  assertEquals(modelName("."), modelName(Deno.cwd()));
});

Deno.test("readSnapshotConfig() tells a folder that is not there from one without a config", async () => {
  const folder = await Deno.makeTempDir();
  for (const [path, what] of [[folder, "file"], ["/nonexistent", "folder"]] as const) {
    assertThrows(
      () => readSnapshotConfig(path),
      WeightsError,
      `Cannot read "${path}/config.json": no such ${what}, name the folder of a whole snapshot`,
    );
  }
  await Deno.remove(folder);
});
