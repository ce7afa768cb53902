/** Tries out on a device which ways of decoding FP8 give every code its value. @module */
import { numberToBf16 } from "../../shaders/common/bf16.ts";
import { type Fp8Decoder, fp8ToNumber } from "../../shaders/common/fp8.ts";
import { FP8_CODES_GRID, fp8Codes } from "../../shaders/fp8_codes/fp8_codes.ts";
import { bind, KernelCache } from "../gpu/kernel.ts";
import { Readback } from "../gpu/readback.ts";
import { unlessRefused } from "../gpu/refusal.ts";

const CODES = 256;
/** Codes that share a scale in the kernel. */
const SHARED = 16;
/** What the output holds before, so that a decoder that writes nothing does not pass. */
const NAN = new Uint32Array(CODES).fill(0x7fc00000);

/** Those of `decoders` that decode all 254 finite codes exactly here: a device that flushes subnormals fails some. */
export async function workingDecoders(
  device: GPUDevice,
  decoders: readonly Fp8Decoder[],
): Promise<readonly Fp8Decoder[]> {
  const kernels = new KernelCache(device);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const buffer = (data: ArrayBufferView<ArrayBuffer>) => {
    const made = device.createBuffer({ label: "decoders", size: data.byteLength, usage });
    device.queue.writeBuffer(made, 0, data);
    return made;
  };
  const codes = buffer(Uint8Array.from({ length: CODES }, (_, code) => code));
  const scales = buffer(new Uint16Array(CODES / SHARED).fill(numberToBf16(1)));
  const y = buffer(NAN);
  const readback = await Readback.open(device, NAN.byteLength, false);
  const working: Fp8Decoder[] = [];
  const decode = async (decoder: Fp8Decoder): Promise<Float32Array> => {
    const kernel = kernels.get(fp8Codes(decoder));
    device.queue.writeBuffer(y, 0, NAN);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, bind(device, kernel, { codes, scales, y }));
    pass.dispatchWorkgroups(...FP8_CODES_GRID);
    pass.end();
    encoder.copyBufferToBuffer(y, 0, readback.target, 0, NAN.byteLength);
    device.queue.submit([encoder.finish()]);
    return new Float32Array(await readback.read(NAN.byteLength));
  };
  for (const decoder of decoders) {
    const values = await unlessRefused(device, () => decode(decoder));
    if (values && isExact(values)) working.push(decoder);
  }
  for (const used of [codes, scales, y]) used.destroy();
  await readback.close();
  return working;
}

/** Whether these are the values of all codes; the two that are NaN may be anything. */
export function isExact(values: Float32Array): boolean {
  return values.length === CODES && values.every((value, code) => {
    const wanted = fp8ToNumber(code);
    return Number.isNaN(wanted) || value === wanted;
  });
}
