/** Which device this is, and what it offers: question (a). @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { size } from "../../runtime/plan.ts";
import type { Report } from "./finding.ts";

/** Features that are worth asking for; an adapter lists only the standard ones of them. */
const FEATURES = [
  "subgroups",
  "shader-f16",
  "timestamp-query",
  "wgpu-mappable-primary-buffers",
  "wgpu-subgroup-barrier",
  "wgpu-shader-int64",
  "wgpu-shader-i16",
  "wgpu-pipeline-cache",
  "wgpu-timestamp-query-inside-passes",
  "wgpu-shader-float32-atomic",
];

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** Tells adapter, limits and features. */
export async function reportAdapter(report: Report): Promise<void> {
  const gpu = await openGpu();
  const { vendor, architecture, device, description } = gpu.device.adapterInfo;
  report({
    section: "machine",
    name: "adapter",
    found: gpu.name + (gpu.software ? " (software: shaders run on the CPU)" : ""),
    how: [vendor, architecture, device, description].filter((part) => part !== "").join(", "),
    data: { name: gpu.name, software: gpu.software, subgroups: gpu.subgroups },
  });
  report({
    section: "machine",
    name: "host",
    found: `${navigator.hardwareConcurrency} cores, ${memoryOfHost()}`,
    how: `Deno ${Deno.version.deno}, ${Deno.build.target}`,
    data: { cores: navigator.hardwareConcurrency },
  });
  const limits = LIMITS.map((name) => [name, gpu.device.limits[name]] as const);
  report({
    section: "machine",
    name: "limits",
    found: limits.map(([name, value]) =>
      `${name.slice("max".length)} ${/Size$/.test(name) ? size(value) : value}`
    ).join(", "),
    data: Object.fromEntries(limits),
  });
  gpu.device.destroy();
  const granted = await grantedFeatures();
  const missing = FEATURES.filter((feature) => !granted.includes(feature));
  report({
    section: "questions",
    name: "(a) features, subgroups and f16 among them",
    found: `granted: ${granted.join(", ") || "none"}; refused: ${missing.join(", ") || "none"}`,
    how: "each requested by itself; largest binding and buffer stand under limits",
    data: Object.fromEntries(FEATURES.map((feature) => [feature, granted.includes(feature)])),
  });
}

async function grantedFeatures(): Promise<string[]> {
  const granted: string[] = [];
  for (const feature of FEATURES) {
    // An adapter gives one device.
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    try {
      const device = await adapter!.requestDevice({
        requiredFeatures: [feature as GPUFeatureName],
      });
      device.destroy();
      granted.push(feature);
    } catch { /* refused */ }
  }
  return granted;
}

function memoryOfHost(): string {
  try {
    const { total, available } = Deno.systemMemoryInfo();
    return `${size(total)} of memory, ${size(available)} free`;
  } catch {
    return "memory not known";
  }
}
