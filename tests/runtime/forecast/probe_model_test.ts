import { assert, assertEquals } from "@std/assert";
import { leastSizes, ProbeModel, realSizes } from "../../../runtime/forecast/probe_model.ts";
import { KernelCache } from "../../../runtime/gpu/kernel.ts";
import { gpu } from "../../gpu.ts";

const MIB = 2 ** 20;

Deno.test("ProbeModel takes little memory beside what the engine was given, and frees it", async () => {
  // It once took 330 MiB on a CPU: recurrent states, heads and experts that no measurement needs.
  const opened = await gpu();
  const kernels = new KernelCache(opened.device);
  for (const subject of [realSizes(opened), leastSizes()]) {
    const model = new ProbeModel(opened, subject, kernels);
    const { bytes } = model;
    model.close();
    assert(bytes > MIB && bytes < (opened.software ? 128 : 384) * MIB, `${bytes / MIB} MiB`);
    assertEquals(model.bytes, 0);
  }
});

Deno.test("ProbeModel spreads a row over experts in different places, and several over most of them", async () => {
  const opened = await gpu();
  const model = new ProbeModel(opened, realSizes(opened), new KernelCache(opened.device));
  try {
    assertEquals(model.prepare({ rows: 1, segments: 1, context: 0 }), 8);
    const eight = model.prepare({ rows: 8, segments: 8, context: 0 });
    assert(eight > 40 && eight <= 64, `${eight} experts`);
    assertEquals(model.prepare({ rows: 32, segments: 1, context: 0, experts: 8 }), 8);
  } finally {
    model.close();
  }
});
