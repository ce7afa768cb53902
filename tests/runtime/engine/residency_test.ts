import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  decideResidency,
  fasterResidency,
  type ResidencyFacts,
  residencyLine,
} from "../../../runtime/engine/residency.ts";
import { measureLink } from "../../../runtime/experts/link_rates.ts";
import { PlanError } from "../../../runtime/plan.ts";
import { gpu } from "../../gpu.ts";

const GIB = 2 ** 30;

const FACTS: ResidencyFacts = {
  wanted: "auto",
  allResident: false,
  software: false,
  hostStorage: true,
  bytes: 30 * GIB,
  free: () => 64 * GIB,
};

Deno.test("decideResidency() measures only where a real device could read all experts from RAM", () => {
  const auto = (facts: Partial<ResidencyFacts>) => decideResidency({ ...FACTS, ...facts });
  assertEquals(auto({}), null);
  assertEquals(auto({ free: () => 32 * GIB }), null);
  for (
    const [facts, mode, reason] of [
      [{ allResident: true }, "resident", "every expert has a slot"],
      [{ allResident: true, free: () => 0 }, "resident", "every expert has a slot"],
      [{ software: true }, "paged", "software"],
      [{ hostStorage: false }, "paged", "cannot bind host memory"],
      [
        { free: () => 32 * GIB - 1 },
        "paged",
        "the experts take 30.0 GiB and 2.00 GiB are to be left",
      ],
      [{ free: () => null }, "paged", "unknown"],
    ] as const
  ) {
    const choice = auto(facts)!;
    assertEquals(choice.mode, mode);
    assertStringIncludes(choice.reason, reason);
  }
});

Deno.test("decideResidency() does as it is told, or says why it cannot", () => {
  for (const wanted of ["resident", "paged", "host"] as const) {
    for (const allResident of [false, true]) {
      const choice = decideResidency({ ...FACTS, wanted, allResident, software: true });
      const hostBytes = wanted === "host" ? FACTS.bytes : 0;
      assertEquals(choice, { mode: wanted, reason: "as asked for", hostBytes });
    }
  }
  const host = { ...FACTS, wanted: "host", allResident: true } as const;
  for (const facts of [{ hostStorage: false }, { free: () => GIB }]) {
    assertThrows(
      () => decideResidency({ ...host, ...facts }),
      PlanError,
      "Cannot keep the experts in host memory: ",
    );
  }
  assertEquals(decideResidency({ ...host, free: () => null })?.mode, "host");
});

Deno.test("fasterResidency() takes the GPU's own copies unless uploads are faster", () => {
  const choice = fasterResidency({ fill: 21e9, upload: 9.3e9 }, 30 * GIB);
  assertEquals(
    residencyLine(choice),
    "residency: host, the GPU copies experts at 21.0 GB/s, the host uploads at 9.30 GB/s; " +
      "30.0 GiB of RAM hold all experts",
  );
  assertEquals(fasterResidency({ fill: 5e9, upload: 5.1e9 }, 1), {
    mode: "paged",
    reason: "the GPU copies experts at 5.00 GB/s, the host uploads at 5.10 GB/s",
    hostBytes: 0,
  });
});

Deno.test("measureLink() tells both rates", async () => {
  const { fill, upload } = await measureLink(await gpu(), 2 ** 20, 2 ** 22);
  for (const rate of [fill, upload]) assert(rate > 1e6 && rate < 1e13, `${rate} bytes a second`);
});
