import { assertEquals } from "@std/assert";
import { FP8_DECODERS, fp8ToNumber } from "../../shaders/common/fp8.ts";
import { FP8_CODES_GRID, fp8Codes } from "../../shaders/fp8_codes/fp8_codes.ts";
import { workingDecoders } from "../../runtime/tune/decoders.ts";
import { gpu, runKernel } from "../gpu.ts";
import { words } from "./weights.ts";

const working = await workingDecoders((await gpu()).device, FP8_DECODERS);

for (const decoder of FP8_DECODERS) {
  const name =
    `fp8Codes() decodes all 254 finite codes exactly by "${decoder}", and NaN codes to 480`;
  // A device may flush the subnormals that the others need.
  const ignore = decoder !== "safe" && !working.includes(decoder);
  Deno.test({
    name,
    ignore,
    fn: async () => {
      const codes = words(Uint8Array.from({ length: 256 }, (_, code) => code));
      const scales = words(new Uint16Array(16).fill(0x3f80));
      const { y } = await runKernel(
        fp8Codes(decoder),
        { codes, scales, y: { out: 256 } },
        FP8_CODES_GRID,
      );
      const want = Array.from({ length: 256 }, (_, code) => fp8ToNumber(code));
      [want[0x7f], want[0xff]] = [480, -480];
      assertEquals([...y!], want);
    },
  });
}
