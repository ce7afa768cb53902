import { assertEquals, assertThrows } from "@std/assert";
import { expertLayout } from "../../shaders/common/expert_layout.ts";

Deno.test("expertLayout() has the bytes of a full-size FP8 expert", () => {
  const layout = expertLayout({ hidden: 2048, dff: 512, format: "fp8" });
  assertEquals(layout.byteLength, 3_146_112);
  assertEquals(layout.down.offset, 0);
  assertEquals(layout.gate.offset, 1_048_576);
  assertEquals(layout.up.offset, 2_097_152);
  assertEquals(layout.gateScale?.offset, 3_145_856);
  assertEquals(layout.gateScale?.rows, 4);
  assertEquals(layout.gateScale?.columns, 16);
  assertEquals(layout.upScale?.offset, 3_145_984);
  assertEquals(layout.downScale?.offset, 3_145_728);
  assertEquals(layout.downScale?.rows, 16);
  assertEquals(layout.stride, 3_146_240);
});

Deno.test("expertLayout() has the bytes of a full-size BF16 expert and no scales", () => {
  const layout = expertLayout({ hidden: 2048, dff: 512, format: "bf16" });
  assertEquals(layout.byteLength, 6_291_456);
  assertEquals(layout.stride, 6_291_456);
  assertEquals(layout.gateScale, undefined);
});

Deno.test("expertLayout() aligns parts and slots for odd sizes, without overlap", () => {
  for (const format of ["fp8", "bf16"] as const) {
    for (const hidden of [1, 20, 127, 128, 129, 320]) {
      for (const dff of [1, 33, 128, 192]) {
        const layout = expertLayout({ hidden, dff, format });
        const { gate, up, down, gateScale, upScale, downScale } = layout;
        let end = 0;
        for (const part of [down, gate, up, downScale, gateScale, upScale]) {
          if (part === undefined) continue;
          assertEquals(part.offset, Math.ceil(end / 16) * 16);
          end = part.offset + part.byteLength;
        }
        assertEquals(layout.stride, Math.ceil(end / 256) * 256);
      }
    }
  }
});

Deno.test("expertLayout() throws for sizes that are not positive integers", () => {
  for (const hidden of [0, -1, 1.5, NaN]) {
    assertThrows(() => expertLayout({ hidden, dff: 8, format: "fp8" }), RangeError, "hidden");
  }
});
