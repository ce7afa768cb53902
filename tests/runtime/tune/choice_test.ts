import { assertEquals, assertThrows } from "@std/assert";
import type { DeviceKey } from "../../../runtime/device_notes.ts";
import {
  choiceFile,
  choiceLine,
  choiceNotes,
  chooseVariant,
  type VariantTime,
} from "../../../runtime/tune/choice.ts";

const KEY: DeviceKey = { adapter: "a card", driver: "1.2", deno: "2.9.6", kernels: 1 };
const time = (name: string, one: number, four: number): VariantTime => ({ name, one, four });
const CHOICE = { name: "shift-32x8", times: [time("shift-32x8", 0.5, 1)] };

Deno.test("chooseVariant() takes the fastest alone and among four, if it is clearly faster than the default", () => {
  const usual = time("pairs-32x8", 1, 2);
  const choose = (...others: VariantTime[]) => chooseVariant([usual, ...others], usual.name);
  assertEquals(choose(), "pairs-32x8");
  assertEquals(choose(time("a", 0.9, 2), time("b", 0.95, 2)), "a");
  assertEquals(choose(time("a", 0.99, 1.98)), "pairs-32x8", "a hundredth may be chance");
  assertEquals(choose(time("a", 0.9, 4), time("b", 1, 1.6)), "b", "four rows count a quarter each");
  assertEquals(chooseVariant([time("a", 9, 9)], "pairs-32x8"), "a", "the default computed wrong");
  assertEquals(chooseVariant([], "pairs-32x8"), "pairs-32x8");
});

Deno.test("choiceLine() says what was chosen, and what it takes if that was measured", () => {
  assertEquals(
    choiceLine(CHOICE, "fastest of 3"),
    "kernels: shift-32x8, fastest of 3 (0.500 ms for one row, 1.000 for four)",
  );
  assertEquals(
    choiceLine({ name: "pairs-4x16", times: [] }, "as asked for"),
    "kernels: pairs-4x16, as asked for",
  );
});

async function inFolder(use: (folder: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    use(`${folder}/cache`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a choice is remembered for the device, driver, Deno and kernels it was made with", async () => {
  await inFolder((folder) => {
    const notes = choiceNotes(folder);
    assertEquals(notes.read(KEY), null, "there is no file yet");
    notes.write(KEY, CHOICE);
    assertEquals(notes.read(KEY), CHOICE);
    for (
      const other of [{ adapter: "b" }, { driver: "1.3" }, { deno: "2.9.7" }, { kernels: 2 }]
    ) {
      assertEquals(notes.read({ ...KEY, ...other }), null, JSON.stringify(other));
    }
    const second = { name: "pairs-16x8", times: [] };
    notes.write({ ...KEY, adapter: "b" }, second);
    assertEquals(notes.read({ ...KEY, adapter: "b" }), second);
    assertEquals(notes.read(KEY), CHOICE, "the other device's is kept");
    notes.write(KEY, second);
    assertEquals(notes.read(KEY), second);
  });
});

Deno.test("a file of choices forgets the oldest of more than 16", async () => {
  await inFolder((folder) => {
    const notes = choiceNotes(folder);
    for (let kernels = 0; kernels < 17; kernels++) notes.write({ ...KEY, kernels }, CHOICE);
    const kept = Array.from({ length: 17 }, (_, kernels) => notes.read({ ...KEY, kernels }));
    assertEquals(kept.map((choice) => choice !== null), [false, ...Array(16).fill(true)]);
  });
});

Deno.test("a damaged file of choices is refused, and replaced by the next measurement", async () => {
  await inFolder((folder) => {
    const notes = choiceNotes(folder);
    const file = choiceFile(folder);
    notes.write(KEY, CHOICE);
    const whole = Deno.readTextFileSync(file);
    for (
      const damaged of [
        "",
        whole.slice(0, -9),
        "[]",
        "null",
        whole.replace("kernels-2", "kernels-1"),
        whole.replaceAll("shift-32x8", "sheet-32x8"),
        whole.replace("0.5", '"fast"'),
        whole.replace('"times"', '"dates"'),
      ]
    ) {
      Deno.writeTextFileSync(file, damaged);
      assertThrows(() => notes.read(KEY), Error);
    }
    notes.write(KEY, CHOICE);
    assertEquals(notes.read(KEY), CHOICE);
  });
});
