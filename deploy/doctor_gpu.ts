/** What the doctor says of the GPU: driver files, adapter, limits, features, and whether it computes. @module */
import { openGpu } from "../runtime/gpu/device.ts";
import { size } from "../runtime/plan.ts";

/** One thing looked at. `note`: works, but could be better; `bad`: serving cannot work. */
export interface Finding {
  readonly level: "ok" | "note" | "bad";
  readonly what: string;
  readonly found: string;
  /** How to mend it. */
  readonly mend?: string;
}

const INSTALL = "apt-get install --no-install-recommends libvulkan1 mesa-vulkan-drivers";
const LIBRARY_FOLDERS = ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64"].flatMap(
  (folder) => [folder, `${folder}/${Deno.build.arch}-linux-gnu`],
);
const ICD_FOLDERS = [
  "/etc/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
];

/** Looks for the Vulkan loader, driver files and device nodes. Linux only; elsewhere nothing. */
export function checkDriverFiles(): Finding[] {
  if (Deno.build.os !== "linux") return [];
  const loader = LIBRARY_FOLDERS.map((folder) => `${folder}/libvulkan.so.1`).find(exists);
  const named = Deno.env.get("VK_DRIVER_FILES") ?? Deno.env.get("VK_ICD_FILENAMES");
  const icds = named?.split(":") ??
    ICD_FOLDERS.flatMap((folder) => names(folder).map((name) => `${folder}/${name}`));
  const missing = icds.filter((path) => !exists(path));
  const findings: Finding[] = [
    loader
      ? { level: "ok", what: "Vulkan loader", found: loader }
      : { level: "bad", what: "Vulkan loader", found: "no libvulkan.so.1", mend: INSTALL },
    icds.length > missing.length
      ? { level: "ok", what: "Vulkan drivers", found: icds.join(", ") }
      : { level: "bad", what: "Vulkan drivers", found: "none", mend: INSTALL },
  ];
  if (missing.length > 0) {
    const found = `${missing.join(", ")} is not there`;
    findings.push({
      level: "note",
      what: "VK_DRIVER_FILES",
      found,
      mend: "correct it or unset it",
    });
  }
  return [...findings, ...checkNvidia(icds), ...checkRenderNodes()];
}

function checkNvidia(icds: readonly string[]): Finding[] {
  const present = exists("/proc/driver/nvidia/version") || exists("/dev/nvidiactl");
  if (!present || icds.some((path) => path.includes("nvidia"))) return [];
  return [{
    level: "note",
    what: "NVIDIA",
    found: "a card is there, its Vulkan driver is not",
    mend:
      "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics (or all) and install " +
      "libvulkan1 libegl1 libglx0 libxext6; else install the driver's Vulkan part",
  }];
}

function checkRenderNodes(): Finding[] {
  const nodes = names("/dev/dri").filter((name) => name.startsWith("renderD"));
  const closed = nodes.map((name) => `/dev/dri/${name}`).filter((path) => !opens(path));
  if (closed.length === 0) return [];
  const mend = "add this user to the group render, or start the container with --device /dev/dri";
  return [{ level: "note", what: "GPU access", found: `${closed} may not be opened`, mend }];
}

/** Opens the adapter as the server does, and lets it add up some numbers. */
export async function checkAdapter(): Promise<Finding[]> {
  let gpu;
  try {
    gpu = await openGpu();
  } catch (error) {
    const found = (error as Error).message;
    return [{ level: "bad", what: "GPU", found, mend: `install a driver, such as: ${INSTALL}` }];
  }
  const { device, name, software, subgroups, hostStorage, maxBinding } = gpu;
  try {
    const info = device.adapterInfo ?? {};
    const about = [info.vendor, info.architecture, info.device].filter(Boolean).join(" ");
    const sizes = `binding ${size(maxBinding)}, buffer ${size(device.limits.maxBufferSize)}, ` +
      `workgroup memory ${size(device.limits.maxComputeWorkgroupStorageSize)}, ` +
      `${device.limits.maxStorageBuffersPerShaderStage} storage buffers a stage`;
    return [
      software
        ? {
          level: "note",
          what: "GPU",
          found: `${name}: shaders run on the CPU, fine for tests and the demo`,
          mend: "for a large model install the driver of a real GPU",
        }
        : { level: "ok", what: "GPU", found: `${name} ${about}`.trim() },
      maxBinding >= 128 * 2 ** 20
        ? { level: "ok", what: "Limits", found: sizes }
        : { level: "bad", what: "Limits", found: sizes, mend: "update the GPU's driver" },
      {
        level: "ok",
        what: "Features",
        found: `subgroups ${yesNo(subgroups)}, kernels that read host memory ${yesNo(hostStorage)}`,
      },
      await checkSum(device),
    ];
  } finally {
    device.destroy();
  }
}

async function checkSum(device: GPUDevice): Promise<Finding> {
  const what = "Computing";
  const mend =
    "update the GPU's driver; if that does not help, try VK_DRIVER_FILES with another one";
  try {
    const sum = await Promise.race([sumOnDevice(device), timeout(30_000)]);
    return sum === 4950
      ? { level: "ok", what, found: "a small shader gives the right sum" }
      : { level: "bad", what, found: `a small shader gives ${sum} instead of 4950`, mend };
  } catch (error) {
    return { level: "bad", what, found: (error as Error).message, mend };
  }
}

/** 0 + 1 + ... + 99, by one invocation. */
async function sumOnDevice(device: GPUDevice): Promise<number> {
  const code = `@group(0) @binding(0) var<storage, read_write> total: array<u32>;
    @compute @workgroup_size(1) fn main() { for (var i = 0u; i < 100u; i++) { total[0] += i; } }`;
  const pipeline = await device.createComputePipelineAsync({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
  });
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const total = device.createBuffer({ size: 4, usage: STORAGE | COPY_SRC });
  const result = device.createBuffer({ size: 4, usage: COPY_DST | MAP_READ });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [{ binding: 0, resource: { buffer: total } }];
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(total, 0, result, 0, 4);
  device.queue.submit([encoder.finish()]);
  await result.mapAsync(GPUMapMode.READ);
  return new Uint32Array(result.getMappedRange())[0]!;
}

function timeout(ms: number): Promise<never> {
  const message = `a small shader did not end within ${ms / 1000} s`;
  return new Promise((_, reject) => {
    Deno.unrefTimer(setTimeout(() => reject(new Error(message)), ms));
  });
}

function yesNo(is: boolean): string {
  return is ? "yes" : "no";
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

function opens(path: string): boolean {
  try {
    Deno.openSync(path).close();
    return true;
  } catch (error) {
    return !(error instanceof Deno.errors.PermissionDenied);
  }
}

function names(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch {
    return [];
  }
}
