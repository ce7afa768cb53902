import { assert, assertEquals, assertMatch } from "@std/assert";
import { defaultVariant, PRODUCT_VARIANTS, variantOf } from "../../../shaders/common/variants.ts";
import { openKernels } from "../../../runtime/tune/kernels.ts";
import { inOrder } from "../../../runtime/tune/trial.ts";
import { gpu } from "../../gpu.ts";

async function open(
  kernels: string,
  cacheDir: string | null,
): Promise<{ name: string; lines: string[] }> {
  const lines: string[] = [];
  const opened = await openKernels(await gpu(), { kernels, cacheDir }, (line) => lines.push(line));
  return { name: opened.variant.name, lines };
}

async function usualName(): Promise<{ software: boolean; usual: string }> {
  const { device, software, subgroups } = await gpu();
  const subgroupSize = subgroups ? device.adapterInfo.subgroupMinSize : 0;
  return { software, usual: defaultVariant({ software, subgroupSize }).name };
}

Deno.test("openKernels() measures if asked to, remembers it, and passes over a damaged file", async () => {
  const { software, usual } = await usualName();
  const cacheDir = await Deno.makeTempDir();
  try {
    const measured = await open("measure", cacheDir);
    assertMatch(measured.lines[0]!, /^kernels: [a-z0-9-]+, best of \d+ that were measured \(/);
    const file = `${cacheDir}/kernels.json`;
    assert(Deno.readTextFileSync(file).includes(`"name": "${measured.name}"`));
    // Another choice than the device would come to: what follows can only come from the file.
    const other = measured.name === "safe-32x8" ? "pairs-8x8" : "safe-32x8";
    const written = Deno.readTextFileSync(file)
      .replace(`"name": "${measured.name}"`, `"name": "${other}"`);
    Deno.writeTextFileSync(file, written);
    const again = await open("auto", cacheDir);
    assertEquals([again.name, again.lines.length], [other, 1]);
    assertMatch(again.lines[0]!, /^kernels: [a-z0-9-]+, as measured before/);
    Deno.writeTextFileSync(file, written.slice(0, 40));
    const damaged = await open("auto", cacheDir);
    assertEquals(damaged.lines.length, 2);
    assert(damaged.lines[0]!.startsWith(`warning: no kernels remembered from "${file}"`));
    assert(!software || damaged.name === usual);
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});

Deno.test("openKernels() takes the usual kernels of a software adapter without measuring, or those pinned", async () => {
  const { software, usual } = await usualName();
  if (software) {
    const { name, lines } = await open("auto", null);
    assertEquals([name, lines], [usual, [`kernels: ${usual}, usual on a CPU`]]);
  }
  assertEquals((await open("shift-4x16", null)).name, "shift-4x16");
});

Deno.test("inOrder() begins with the default and what is most like it", () => {
  const names = inOrder(PRODUCT_VARIANTS, variantOf("pairs-4x16")).map(({ name }) => name);
  assertEquals(names[0], "pairs-4x16");
  assertEquals(
    new Set(names.slice(1, 5)),
    new Set(["pairs-4x16-subgroups", "shift-4x16", "safe-4x16", "pairs-4x16-broadcast"]),
  );
  assertEquals(names.length, PRODUCT_VARIANTS.length);
});
