import { assert, assertEquals, assertRejects } from "@std/assert";
import { drawModel } from "../../../runtime/forecast/blueprint.ts";
import { memberSubject } from "../../../runtime/forecast/subject.ts";
import { type Gpu, LEAST_LIMITS, openGpu } from "../../../runtime/gpu/device.ts";
import { GpuMemory } from "../../../runtime/gpu/memory.ts";
import type { PlanChoice } from "../../../runtime/plan_input.ts";
import { disguise } from "../../disguise.ts";

const CONTEXT = 262_144;
const BINDING = 2 ** 31 - 4;

/** The real sizes of the family, the largest numbers of experts and ranks among them. */
const MEMBERS = [["35B-A3B", "fp8"], ["397B-A17B", "bf16"], ["27B", "fp8"]] as const;

const KEPT = { kv: "f32", head: "int8" } as const;

const WORDS = { f32: 1, u32: 1, "atomic<u32>": 1, "vec2<u32>": 2, "vec3<f32>": 4, "vec4<f32>": 4 };

/** Bytes of a pipeline's workgroup memory, which wgpu does not compare with its limit. */
function workgroupBytes(code: string, constants: Readonly<Record<string, number>>): number {
  const lengthOf = (text: string) =>
    constants[text] ?? Number(code.match(`const ${text}: u32 = (\\d+)u`)?.[1] ?? text);
  let words = 0;
  for (const [, type = ""] of code.matchAll(/var<workgroup> \w+: ([^;]+);/g)) {
    const [, element = type, length = "1"] = type.match(/^array<(.+), (\w+)>$/) ?? [];
    words += WORDS[element as keyof typeof WORDS] * lengthOf(length);
  }
  return 4 * words;
}

/** A device on which only pipelines are made: what they are given is paper. */
async function workbench(limits: Record<string, number>): Promise<Gpu & { bytes(): number }> {
  const adapter = (await navigator.gpu.requestAdapter())!;
  const device = await adapter.requestDevice({ requiredLimits: limits });
  let most = 0;
  const made = ({ label = "", size = 0 }) => ({ label, size, destroy: () => {} });
  const paper = {
    features: new Set<string>(),
    adapterInfo: { isFallbackAdapter: false, subgroupMinSize: 0 },
    limits: device.limits,
    createBuffer: made,
    createBindGroup: made,
    createBindGroupLayout: device.createBindGroupLayout.bind(device),
    createPipelineLayout: device.createPipelineLayout.bind(device),
    createShaderModule: (module: GPUShaderModuleDescriptor) => module,
    createComputePipeline: (pipeline: GPUComputePipelineDescriptor) => {
      const { module, constants = {} } = pipeline.compute;
      const { code } = module as unknown as GPUShaderModuleDescriptor;
      most = Math.max(most, workgroupBytes(code, constants));
      const compute = { ...pipeline.compute, module: device.createShaderModule({ code }) };
      return device.createComputePipeline({ ...pipeline, compute });
    },
    pushErrorScope: device.pushErrorScope.bind(device),
    popErrorScope: device.popErrorScope.bind(device),
    destroy: device.destroy.bind(device),
    queue: { writeBuffer: () => {} },
  };
  return {
    device: paper as unknown as GPUDevice,
    ...{ name: "workbench", software: false, subgroups: false, hostStorage: true },
    maxBinding: BINDING,
    bytes: () => most,
  };
}

/** Makes every pipeline that a member of the family takes on a GPU; returns what the device says to it. */
async function build(
  gpu: Gpu,
  [name, format]: typeof MEMBERS[number],
): Promise<string | undefined> {
  const subject = memberSubject(name, format);
  const { mlp } = subject.config;
  const choice: PlanChoice = {
    ...{ maxBinding: BINDING, maxSequences: 16, chunkRows: 512, context: CONTEXT },
    ...KEPT,
  };
  gpu.device.pushErrorScope("validation");
  const { programs } = drawModel(new GpuMemory(gpu), gpu.device, {
    ...{ subject, choice, fills: mlp.kind === "moe", ahead: false },
    plan: {
      ...{ contextLength: CONTEXT, kvPages: 4096, kvArenas: 1 },
      expertSlots: mlp.kind === "moe" ? mlp.experts : 0,
    },
    layers: [0, 1, 3],
  });
  programs("decode");
  programs("prefill");
  return (await gpu.device.popErrorScope())?.message;
}

for (const member of MEMBERS) {
  Deno.test(`the kernels of ${member.join(" ")} need no more than the limits that are asked for`, async () => {
    const gpu = await workbench(LEAST_LIMITS);
    assertEquals(await build(gpu, member), undefined);
    assert(gpu.bytes() <= LEAST_LIMITS.maxComputeWorkgroupStorageSize, `${gpu.bytes()} bytes`);
    gpu.device.destroy();
  });
}

Deno.test("the limits that are asked for are no higher than the kernels need", async () => {
  const [member] = MEMBERS;
  const { maxStorageBuffersPerShaderStage: buffers } = LEAST_LIMITS;
  const less = await workbench({ ...LEAST_LIMITS, maxStorageBuffersPerShaderStage: buffers - 1 });
  await assertRejects(() => build(less, member), RangeError, `the device allows ${buffers - 1}`);
  less.device.destroy();
  const gpu = await workbench(LEAST_LIMITS);
  await build(gpu, member);
  assertEquals(gpu.bytes(), LEAST_LIMITS.maxComputeWorkgroupStorageSize);
  gpu.device.destroy();
});

Deno.test("openGpu() refuses in one line an adapter that the kernels could not run on", async () => {
  using _ = disguise({
    limits: { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384 },
    gpu: "Tiny GPU",
  });
  const error = await assertRejects(() => openGpu(), Error);
  assertEquals(
    error.message,
    "Cannot use Tiny GPU: found maxStorageBuffersPerShaderStage 8, wanted 14; " +
      "maxComputeWorkgroupStorageSize 16384, wanted 28160; update its driver or choose another adapter",
  );
});
