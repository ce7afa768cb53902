import { assert, assertEquals, assertThrows } from "@std/assert";
import { assumedRates } from "../../../runtime/forecast/kernel_rates.ts";
import { rateKey, rateNotes } from "../../../runtime/forecast/rate_notes.ts";
import { variantOf } from "../../../shaders/common/variants.ts";
import { gpu } from "../../gpu.ts";

const KERNELS = assumedRates({ bandwidth: 2e9, flops: 1e11, dispatch: 2e-5, token: 0 });
const RATES = { read: 2e9, upload: 1e9, flops: 1e11, dispatch: 2e-5, kernels: KERNELS };

Deno.test("rateNotes() gives back the rates of a key, and refuses a file in which one is missing", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const notes = rateNotes(folder);
    const key = await rateKey(await gpu());
    assertEquals(notes.read(key), null);
    notes.write(key, RATES);
    assertEquals(notes.read(key), RATES);
    assertEquals(notes.read({ ...key, kernels: "others" }), null);
    const file = `${folder}/rates.json`;
    const whole = Deno.readTextFileSync(file);
    for (const damaged of ['"sixteen": null', '"fifteen": 1']) {
      Deno.writeTextFileSync(file, whole.replace(/"sixteen": [0-9]+/, damaged));
      assertThrows(() => notes.read(key), TypeError, "no measurement");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("rateKey() tells variants of the kernels apart, and is the same each time", async () => {
  const opened = await gpu();
  const keys = [];
  for (const name of ["pairs-8x8", "pairs-8x8", "safe-32x8"]) {
    keys.push(await rateKey(opened, variantOf(name)));
  }
  assertEquals(keys[0], keys[1]);
  assertEquals(/^pairs-8x8 [0-9a-f]{16}$/.test(String(keys[0]!.kernels)), true);
  const [one, , other] = keys.map(({ kernels }) => String(kernels).split(" ")[1]);
  assert(one !== other, "other sources or constants, the same digest");
});
