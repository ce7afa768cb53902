import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ExpertReader, type ExpertReaderOptions } from "../../../runtime/experts/reader.ts";
import type { ExpertPart } from "../../../shaders/common/expert_layout.ts";
import {
  DTYPE_BYTES,
  elementCount,
  openSnapshot,
  type TensorToWrite,
  WeightsError,
  writeSnapshot,
} from "../../../weights/mod.ts";

const SIZES = { layers: 2, experts: 3, hidden: 272, dff: 130 };
type Style = "fp8" | "bf16" | "fused";

/** Byte i of the tensor: finite as e4m3fn and as bf16, different for every name. */
function bytesFor(name: string, length: number): Uint8Array {
  const seed = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  return Uint8Array.from({ length }, (_, i) => (seed + i * 13 + (i >> 7)) % 113);
}

function tensor(name: string, dtype: "F8_E4M3" | "BF16", shape: number[]): TensorToWrite {
  const length = elementCount(shape) * DTYPE_BYTES[dtype];
  return { name, dtype, shape, data: () => bytesFor(name, length) };
}

function tensorsOf(
  layer: number,
  style: Style,
  { experts, hidden, dff } = SIZES,
): TensorToWrite[] {
  const at = `p.layers.${layer}.mlp.experts.`;
  if (style === "fused") {
    return [
      tensor(`${at}gate_up_proj`, "BF16", [experts, 2 * dff, hidden]),
      tensor(`${at}down_proj`, "BF16", [experts, hidden, dff]),
    ];
  }
  const shapes = { gate: [dff, hidden], up: [dff, hidden], down: [hidden, dff] };
  const names = Array.from({ length: experts }, (_, e) => e);
  return names.flatMap((e) =>
    Object.entries(shapes).flatMap(([matrix, shape]) => {
      const name = `${at}${e}.${matrix}_proj.weight`;
      if (style === "bf16") return [tensor(name, "BF16", shape)];
      const blocks = shape.map((length) => Math.ceil(length / 128));
      return [tensor(name, "F8_E4M3", shape), tensor(`${name}_scale_inv`, "BF16", blocks)];
    })
  );
}

async function withReader(
  tensors: TensorToWrite[],
  body: (reader: ExpertReader, folder: string) => Promise<void>,
  sizes: Partial<ExpertReaderOptions> = {},
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  writeSnapshot(folder, tensors);
  const snapshot = openSnapshot(folder);
  try {
    await body(new ExpertReader({ snapshot, prefix: "p.", ...SIZES, ...sizes }), folder);
  } finally {
    snapshot.close();
    Deno.removeSync(folder, { recursive: true });
  }
}

const bothLayers = (style: Style, sizes = SIZES) => [
  ...tensorsOf(0, style, sizes),
  ...tensorsOf(1, style, sizes),
];

async function slotOf(reader: ExpertReader, layer: number, expert: number): Promise<Uint8Array> {
  let slot = new Uint8Array();
  const bytes = await reader.load(layer, expert, (buffer) => slot = buffer.slice());
  assertEquals([bytes, slot.length], [reader.layout.byteLength, reader.layout.stride]);
  return slot;
}

function place(slot: Uint8Array, part: ExpertPart | undefined, bytes: Uint8Array): void {
  assert(part !== undefined && part.byteLength === bytes.length);
  slot.set(bytes, part.offset);
}

Deno.test("ExpertReader packs FP8 matrices and scales, padding zero, several at once", () =>
  withReader(bothLayers("fp8"), async (reader) => {
    assertEquals(reader.layout.format, "fp8");
    const pairs = [[0, 0], [0, 2], [1, 1], [1, 2]] as const;
    const slots = await Promise.all(pairs.map(([layer, expert]) => slotOf(reader, layer, expert)));
    const again = await slotOf(reader, 0, 0);
    assertEquals(again, slots[0]);
    pairs.forEach(([layer, expert], i) => {
      const want = new Uint8Array(reader.layout.stride);
      for (const matrix of ["gate", "up", "down"] as const) {
        const name = `p.layers.${layer}.mlp.experts.${expert}.${matrix}_proj.weight`;
        place(want, reader.layout[matrix], bytesFor(name, SIZES.dff * SIZES.hidden));
        place(want, reader.layout[`${matrix}Scale`], bytesFor(`${name}_scale_inv`, 12));
      }
      assertEquals(slots[i], want);
    });
    assertEquals(reader.bytesRead, 5 * (3 * 130 * 272 + 3 * 12));
  }));

Deno.test("ExpertReader packs BF16 matrices of their own", () =>
  withReader(bothLayers("bf16"), async (reader) => {
    assertEquals(reader.layout.format, "bf16");
    const want = new Uint8Array(reader.layout.stride);
    for (const matrix of ["gate", "up", "down"] as const) {
      const name = `p.layers.1.mlp.experts.2.${matrix}_proj.weight`;
      place(want, reader.layout[matrix], bytesFor(name, 2 * SIZES.dff * SIZES.hidden));
    }
    assertEquals(await slotOf(reader, 1, 2), want);
  }));

Deno.test("ExpertReader slices fused BF16 tensors", () =>
  withReader(bothLayers("fused"), async (reader) => {
    const { experts, dff, hidden } = SIZES;
    const matrix = 2 * dff * hidden;
    const pair = bytesFor("p.layers.1.mlp.experts.gate_up_proj", experts * 2 * matrix);
    const down = bytesFor("p.layers.1.mlp.experts.down_proj", experts * matrix);
    for (let expert = 0; expert < experts; expert++) {
      const want = new Uint8Array(reader.layout.stride);
      const at = expert * 2 * matrix;
      place(want, reader.layout.gate, pair.subarray(at, at + matrix));
      place(want, reader.layout.up, pair.subarray(at + matrix, at + 2 * matrix));
      place(want, reader.layout.down, down.subarray(expert * matrix, (expert + 1) * matrix));
      assertEquals(await slotOf(reader, 1, expert), want);
    }
  }));

/** In the order of the publisher's files: wide elements first, then by name. */
const byName = (tensors: readonly TensorToWrite[]) =>
  tensors.toSorted((a, b) =>
    DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (a.name < b.name ? -1 : 1)
  );

Deno.test("ExpertReader reads codes and scales in one piece each where the file has them so", async () => {
  const sizes = { ...SIZES, hidden: 512, dff: 256 }; // no padding between parts, as in real models
  const tensors = bothLayers("fp8", sizes);
  const slots: Uint8Array[] = [];
  for (const [order, reads] of [[byName(tensors), 2], [tensors, 6]] as const) {
    await withReader(order, async (reader) => {
      assertEquals(reader.reads(1, 2), reads);
      slots.push(await slotOf(reader, 1, 2));
    }, sizes);
  }
  assertEquals(slots[0], slots[1]);
  await withReader(bothLayers("fused"), (reader) => {
    assertEquals([reader.reads(0, 1), reader.reads(1, 2)], [2, 2]);
    return Promise.resolve();
  });
});

Deno.test("ExpertReader reads the same by any way, and can be told what comes", () =>
  withReader(byName(bothLayers("fp8")), async (reader) => {
    const want = await slotOf(reader, 1, 2);
    for (const way of reader.ways) {
      reader.way = way;
      assertEquals(await slotOf(reader, 1, 2), want, way);
      assertEquals(await reader.tryOut(0, 1, way), reader.layout.byteLength);
    }
    assertEquals(reader.bytesRead, (1 + reader.ways.length) * reader.layout.byteLength);
    assertEquals(reader.willNeed(0, 2), false); // it was written a moment ago: no disk is needed
  }));

/** Bytes of the tensor, with one element made NaN. */
function poison(tensors: TensorToWrite[], name: string, index: number): TensorToWrite[] {
  return tensors.map((entry) => {
    if (entry.name !== name) return entry;
    const data = () => {
      const bytes = bytesFor(name, elementCount(entry.shape) * DTYPE_BYTES[entry.dtype]);
      if (entry.dtype === "F8_E4M3") bytes[index] = 0xff;
      else bytes.set([0xc0, 0x7f], index * 2);
      return bytes;
    };
    return { ...entry, data };
  });
}

Deno.test("ExpertReader refuses NaN in a code or scale of that expert only, and goes on", async () => {
  const code = "p.layers.0.mlp.experts.1.down_proj.weight";
  const scale = "p.layers.1.mlp.experts.0.up_proj.weight_scale_inv";
  const fp8 = poison(poison(bothLayers("fp8"), code, 4321), scale, 5);
  await withReader(fp8, async (reader) => {
    const used: number[] = [];
    const load = (layer: number, expert: number) =>
      reader.load(layer, expert, () => used.push(layer * 10 + expert));
    await assertRejects(() => load(0, 1), WeightsError, `element 4321 is NaN`);
    await assertRejects(() => load(1, 0), WeightsError, `Cannot use "${scale}" of "`);
    await load(0, 0);
    await load(1, 1);
    assertEquals(used, [0, 11]);
  });
  const fused = "p.layers.0.mlp.experts.gate_up_proj";
  const element = (2 * SIZES.dff + 7) * SIZES.hidden; // in expert 1
  await withReader(poison(bothLayers("fused"), fused, element), async (reader) => {
    await slotOf(reader, 0, 0);
    await assertRejects(
      () => slotOf(reader, 0, 1),
      WeightsError,
      `.safetensors": element ${element} is NaN`,
    );
  });
});

Deno.test("ExpertReader survives a file cut while it is open", () =>
  withReader(bothLayers("fp8"), async (reader, folder) => {
    const before = await slotOf(reader, 0, 0);
    Deno.truncateSync(`${folder}/model.safetensors`, 300_000);
    await assertRejects(() => slotOf(reader, 1, 2), WeightsError, "changed while in use");
    assertEquals(await slotOf(reader, 0, 0), before);
  }));

Deno.test("ExpertReader refuses tensors of another size, missing ones, and mixed formats", async () => {
  await withReader(bothLayers("fp8"), async (reader) => {
    await assertRejects(() => slotOf(reader, 0, 0), WeightsError, "expected F8_E4M3 of 35100");
  }, { hidden: 270 });
  await withReader(bothLayers("fp8"), async (reader) => {
    await assertRejects(() => slotOf(reader, 0, 3), WeightsError, "experts.3.down_proj.weight");
  }, { experts: 4 });
  const folder = Deno.makeTempDirSync();
  writeSnapshot(folder, [...tensorsOf(0, "fp8"), ...tensorsOf(1, "fused")]);
  const snapshot = openSnapshot(folder);
  assertThrows(
    () => new ExpertReader({ snapshot, prefix: "p.", ...SIZES }),
    WeightsError,
    '"p.layers.1.mlp.experts." is fused bf16, expected one expert a tensor, fp8',
  );
  snapshot.close();
  Deno.removeSync(folder, { recursive: true });
});
