import { assertThrows } from "@std/assert";
import { type Dtype, DTYPE_BYTES } from "../../weights/dtype.ts";
import { WeightsError } from "../../weights/errors.ts";
import { elementCount } from "../../weights/safetensors.ts";
import type { TensorToWrite } from "../../weights/writer.ts";

/** A tensor whose bytes are at hand. */
export interface PatternTensor extends TensorToWrite {
  data(): Uint8Array<ArrayBuffer>;
}

/** A tensor whose byte i is (i * 7 + seed) mod 113: finite in every format. */
export function patternTensor(
  name: string,
  shape: readonly number[],
  { dtype = "BF16", seed = 0 }: { dtype?: Dtype; seed?: number } = {},
): PatternTensor {
  const length = elementCount(shape) * DTYPE_BYTES[dtype];
  const data = () => Uint8Array.from({ length }, (_, i) => (i * 7 + seed) % 113);
  return { name, dtype, shape, data };
}

/** Runs `body` with a new folder that is removed afterwards. */
export async function withFolder(body: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = Deno.makeTempDirSync();
  try {
    await body(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** Asserts a WeightsError of one line that contains every part. */
export function assertFault(body: () => unknown, ...parts: string[]): void {
  const { message } = assertThrows(body, WeightsError);
  for (const part of parts) {
    if (!message.includes(part)) throw new Error(`Expected ${JSON.stringify(part)} in: ${message}`);
  }
  if (message.includes("\n")) throw new Error(`Expected one line, found: ${message}`);
}
