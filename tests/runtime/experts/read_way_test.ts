import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { chooseReadWay, fastestWay, readChoiceLine } from "../../../runtime/experts/read_way.ts";
import type { ExpertReader } from "../../../runtime/experts/reader.ts";
import { type ReadWay, WeightsError } from "../../../weights/mod.ts";

const GROUND = { layers: 4, experts: 64 };
const LARGE = 2 ** 21;

/** A reader that takes so many milliseconds an expert, by way, and notes what it was asked for. */
function fake(
  delays: Partial<Record<ReadWay, number>>,
  byteLength = LARGE,
): { reader: ExpertReader; read: string[] } {
  const read: string[] = [];
  const reader = {
    layout: { byteLength },
    ways: Object.keys(delays),
    way: "pread",
    tryOut: async (layer: number, expert: number, way: ReadWay) => {
      read.push(`${layer}.${expert}`);
      await new Promise((resolve) => setTimeout(resolve, delays[way]));
      return byteLength;
    },
  };
  return { reader: reader as unknown as ExpertReader, read };
}

Deno.test("chooseReadWay() takes the fastest, and reads no expert twice", async () => {
  const { reader, read } = fake({ pread: 30, cached: 2, mmap: 12 });
  const { way, milliseconds, bytes } = await chooseReadWay(reader, "auto", GROUND);
  assertEquals([way, reader.way], ["cached", "cached"]);
  assert(milliseconds.pread! > milliseconds.mmap! && milliseconds.mmap! > milliseconds.cached!);
  assertEquals([read.length, new Set(read).size], [36, 36]);
  assertEquals(bytes, 36 * LARGE);
  assertStringIncludes(readChoiceLine({ way, milliseconds, bytes }), "read by cached, fastest of");
});

Deno.test("fastestWay() takes a mapping only if it is clearly faster", () => {
  assertEquals(fastestWay({ pread: 1, cached: 1, mmap: 0.8 }), "pread");
  assertEquals(fastestWay({ pread: 1, cached: 0.9, mmap: 0.8 }), "cached");
  assertEquals(fastestWay({ pread: 1, cached: 1, mmap: 0.5 }), "mmap");
  assertEquals(fastestWay({ pread: 1 }), "pread");
});

Deno.test("chooseReadWay() times nothing where it was told, where all is small, or where there is no choice", async () => {
  const cases = [
    [fake({ pread: 1, cached: 1, mmap: 1 }), "mmap", "mmap"],
    [fake({ pread: 1, cached: 1, mmap: 1 }, 1000), "auto", "cached"],
    [fake({ pread: 1 }), "auto", "pread"],
  ] as const;
  for (const [{ reader, read }, wanted, way] of cases) {
    const choice = await chooseReadWay(reader, wanted, GROUND);
    assertEquals(choice, { way, milliseconds: {}, bytes: 0 });
    assertEquals([reader.way, read], [way, []]);
    assertEquals(readChoiceLine(choice), `experts are read by ${way}`);
  }
  const error = await assertRejects(
    () => chooseReadWay(fake({ pread: 1 }).reader, "mmap", GROUND),
    WeightsError,
  );
  assertStringIncludes(error.message, "found only pread");
});

Deno.test("chooseReadWay() leaves a damaged expert to the request that needs it", async () => {
  const { reader } = fake({ pread: 1, cached: 1 });
  reader.tryOut = () => Promise.reject(new WeightsError("cut"));
  assertEquals((await chooseReadWay(reader, "auto", GROUND)).way, "pread");
});
