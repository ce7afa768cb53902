/** Opens the one GPU device of the process and says what it is. @module */

/** An open device with what the planner and the kernels must know of it. */
export interface Gpu {
  readonly device: GPUDevice;
  /** For people: name and driver. */
  readonly name: string;
  /** Whether shaders run on the CPU (llvmpipe, SwiftShader): fine for tests and small models. */
  readonly software: boolean;
  /** Whether kernels may use subgroup builtins. */
  readonly subgroups: boolean;
  /** Whether kernels can bind memory of the host (`GpuMemory.hostStorage`). */
  readonly hostStorage: boolean;
  /** Largest storage binding in bytes; matrices beyond it are split. */
  readonly maxBinding: number;
}

/** How to open the device. */
export interface GpuOptions {
  /** Pretend that a storage binding cannot be larger (bytes); for tests of the splitting. */
  readonly maxBinding?: number;
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/**
 * What the kernels need beyond what every adapter has: storage buffers of `delta_step`, bytes of workgroup memory of
 * `delta_scan`. Any desktop GPU of the last ten years has more; wgpu does not compare the second with what kernels take.
 */
export const LEAST_LIMITS = {
  maxStorageBuffersPerShaderStage: 14,
  maxComputeWorkgroupStorageSize: 28160,
} as const;

const SUBGROUPS = "subgroups";

/** wgpu's own: buffers that can be mapped may be bound as storage. */
const HOST_STORAGE = "wgpu-mappable-primary-buffers";

/**
 * Opens the best adapter with its full limits.
 * @throws {Error} if the machine has no WebGPU adapter, with how to get one, or none that the kernels could run on
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  avoidOpenGl();
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Error(
      "Cannot open a GPU: no WebGPU adapter was found, wanted a Vulkan, Metal or DirectX 12 driver; " +
        "on Debian and Ubuntu, software Vulkan comes with: apt-get install libvulkan1 mesa-vulkan-drivers",
    );
  }
  const { description, device: id, vendor } = adapter.info;
  const name = description || `${vendor} ${id}`.trim() || "unknown adapter";
  checkLimits(name, adapter.limits);
  const requiredLimits: Record<string, number> = {};
  for (const name of LIMITS) requiredLimits[name] = adapter.limits[name];
  const { device, features } = await requestDevice(adapter, requiredLimits);
  return {
    device,
    name,
    software: adapter.info.isFallbackAdapter || /llvmpipe|lavapipe|swiftshader/i.test(name),
    subgroups: features.includes(SUBGROUPS),
    hostStorage: features.includes(HOST_STORAGE),
    // A buffer may be no larger than either limit, and each is bound as a whole.
    maxBinding: Math.min(
      options.maxBinding ?? Infinity,
      adapter.limits.maxStorageBufferBindingSize,
      adapter.limits.maxBufferSize,
    ),
  };
}

/** What Deno's WebGPU works over, as Deno reads it when it is first used. */
const BACKEND = "DENO_WEBGPU_BACKEND";

/**
 * Where Vulkan is missing Deno would take OpenGL, on which kernels do not end. Whoever may not set the variable has to be
 * given it, as by `deploy/run`.
 */
function avoidOpenGl(): void {
  if (Deno.build.os !== "linux") return;
  const { state } = Deno.permissions.querySync({ name: "env", variable: BACKEND });
  if (state === "granted" && !Deno.env.has(BACKEND)) Deno.env.set(BACKEND, "vulkan");
}

function checkLimits(name: string, limits: GPUSupportedLimits): void {
  const short = Object.entries(LEAST_LIMITS).filter(([limit, least]) =>
    limits[limit as keyof typeof LEAST_LIMITS] < least
  );
  if (short.length === 0) return;
  const found = short.map(([limit, least]) =>
    `${limit} ${limits[limit as keyof typeof LEAST_LIMITS]}, wanted ${least}`
  );
  throw new Error(
    `Cannot use ${name}: found ${found.join("; ")}; update its driver or choose another adapter`,
  );
}

/** Deno lists only standard features but accepts any that the driver has, so asking is the only test. */
async function requestDevice(
  adapter: GPUAdapter,
  requiredLimits: Record<string, number>,
): Promise<{ device: GPUDevice; features: readonly string[] }> {
  for (const features of [[SUBGROUPS, HOST_STORAGE], [SUBGROUPS], [HOST_STORAGE]]) {
    try {
      const requiredFeatures = features as GPUFeatureName[];
      return {
        device: await adapter.requestDevice({ requiredFeatures, requiredLimits }),
        features,
      };
    } catch { /* with less */ }
  }
  return { device: await adapter.requestDevice({ requiredLimits }), features: [] };
}
