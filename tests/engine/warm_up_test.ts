import { assertEquals } from "@std/assert";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

/** Pipelines that were made, and how often each was dispatched, while `work` runs. */
async function watchPipelines(work: () => Promise<void>): Promise<Map<GPUComputePipeline, number>> {
  const dispatches = new Map<GPUComputePipeline, number>();
  const [device, pass] = [GPUDevice.prototype, GPUComputePassEncoder.prototype];
  const { createComputePipeline } = device;
  const { setPipeline } = pass;
  device.createComputePipeline = function (descriptor) {
    const pipeline = createComputePipeline.call(this, descriptor);
    dispatches.set(pipeline, 0);
    return pipeline;
  };
  pass.setPipeline = function (pipeline) {
    dispatches.set(pipeline, (dispatches.get(pipeline) ?? 0) + 1);
    setPipeline.call(this, pipeline);
  };
  try {
    await work();
  } finally {
    Object.assign(device, { createComputePipeline });
    Object.assign(pass, { setPipeline });
  }
  return dispatches;
}

for (const runAhead of [1, 8]) {
  Deno.test(`the first request of an engine that decodes ${runAhead} at once finds every pipeline compiled and dispatched once`, async () => {
    const { dir } = loadOracleCase("tiny_fp8");
    let engine: Awaited<ReturnType<typeof openTestEngine>>;
    const atStart = await watchPipelines(async () => {
      engine = await openTestEngine(dir, { runAhead });
    });
    assertEquals(new Set(atStart.values()), new Set([1]));
    const later = await watchPipelines(async () => {
      const prompt = Array.from({ length: 40 }, (_, i) => i);
      await complete(engine, greedy(prompt, { maxTokens: 20, promptLogprobs: 2 }));
    });
    await engine!.close();
    assertEquals([...later.keys()].filter((pipeline) => !atStart.has(pipeline)), []);
  });
}
