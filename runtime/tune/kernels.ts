/** Opens the kernels of a device: pinned by an option, remembered, measured, or the usual ones. @module */
import { FP8_DECODERS } from "../../shaders/common/fp8.ts";
import type { TileDevice } from "../../shaders/common/tile.ts";
import {
  defaultVariant,
  PRODUCT_VARIANTS,
  type ProductVariant,
  runnableVariants,
} from "../../shaders/common/variants.ts";
import { deviceKey } from "../device_notes.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { type EngineOptions, OptionError } from "../options.ts";
import { type Choice, choiceFile, choiceLine, choiceNotes, chooseVariant } from "./choice.ts";
import { workingDecoders } from "./decoders.ts";
import { timeVariants, trialSize } from "./trial.ts";

/** Raised whenever a change of the kernels makes earlier measurements worthless. */
const KERNELS_VERSION = 2;

/** Which kernels are wanted, and where a choice may be kept. */
export type KernelOptions = Pick<EngineOptions, "kernels" | "cacheDir">;

/**
 * The kernels of `gpu`, with a line to `log` that says which. A software adapter is measured only if that is asked for: the
 * compiling alone would take as long as the rest of the start.
 * @throws {OptionError} if the device cannot run the variant that was asked for
 */
export async function openKernels(
  gpu: Gpu,
  { kernels, cacheDir }: KernelOptions,
  log: (line: string) => void,
): Promise<KernelCache> {
  const open = ({ name }: Choice) => {
    const variant = PRODUCT_VARIANTS.find((variant) => variant.name === name)!;
    return new KernelCache(gpu.device, variant);
  };
  const say = (choice: Choice, source: string) => log(choiceLine(choice, source));
  if (kernels !== "auto" && kernels !== "measure") {
    const choice = { name: await pinned(gpu, kernels), times: [] };
    say(choice, "as asked for");
    return open(choice);
  }
  const remembered = kernels === "auto" && cacheDir !== null ? remember(gpu, cacheDir, log) : null;
  if (remembered) {
    say(remembered, "as measured before");
    return open(remembered);
  }
  if (kernels === "auto" && gpu.software) {
    const choice = { name: await usual(gpu), times: [] };
    say(choice, "usual on a CPU");
    return open(choice);
  }
  const choice = await measure(gpu);
  say(choice, `best of ${choice.times.length} that were measured`);
  if (cacheDir !== null) keep(gpu, choice, { cacheDir, log });
  return open(choice);
}

/** Measures the variants of a device. */
async function measure(gpu: Gpu): Promise<Choice> {
  const times = await timeVariants(gpu, deviceOf(gpu), trialSize(gpu.software));
  return { name: chooseVariant(times, await usual(gpu)), times };
}

/** The device's usual variant, or the first like it whose decoder works there. */
async function usual(gpu: Gpu): Promise<string> {
  const wanted = defaultVariant(deviceOf(gpu));
  for (const decoder of FP8_DECODERS) {
    if ((await workingDecoders(gpu.device, [decoder])).length === 0) continue;
    return PRODUCT_VARIANTS.find((variant) =>
      isLike(variant, wanted) && variant.decoder === decoder
    )!
      .name;
  }
  throw new Error(
    `Cannot decode FP8 on ${gpu.name}: none of ${
      FP8_DECODERS.join(", ")
    } gives exact values, update its driver`,
  );
}

function isLike(a: ProductVariant, b: ProductVariant): boolean {
  return a.lanes === b.lanes && a.outputs === b.outputs && a.reduce === b.reduce &&
    a.broadcast === b.broadcast;
}

async function pinned(gpu: Gpu, name: string): Promise<string> {
  const runnable = runnableVariants(deviceOf(gpu));
  const variant = runnable.find((variant) => variant.name === name);
  if (!variant) {
    throw new OptionError(
      `Cannot take --kernels "${name}": ${gpu.name} runs ${
        runnable.map(({ name }) => name).join(", ")
      }`,
    );
  }
  if ((await workingDecoders(gpu.device, [variant.decoder])).length === 0) {
    throw new OptionError(
      `Cannot take --kernels "${name}": ${gpu.name} does not decode every code exactly by "${variant.decoder}", ` +
        `take one of another decoder`,
    );
  }
  return name;
}

function remember(gpu: Gpu, cacheDir: string, log: (line: string) => void): Choice | null {
  try {
    return choiceNotes(cacheDir).read(deviceKey(gpu, KERNELS_VERSION));
  } catch (error) {
    const file = choiceFile(cacheDir);
    log(`warning: no kernels remembered from "${file}": ${(error as Error).message}`);
    return null;
  }
}

function keep(
  gpu: Gpu,
  choice: Choice,
  { cacheDir, log }: { readonly cacheDir: string; readonly log: (line: string) => void },
): void {
  try {
    choiceNotes(cacheDir).write(deviceKey(gpu, KERNELS_VERSION), choice);
  } catch (error) {
    const file = choiceFile(cacheDir);
    log(`warning: the choice of kernels was not written to "${file}": ${(error as Error).message}`);
  }
}

function deviceOf({ device, software, subgroups }: Gpu): TileDevice {
  return { software, subgroupSize: subgroups ? device.adapterInfo.subgroupMinSize : 0 };
}
