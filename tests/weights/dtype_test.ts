import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  decode,
  E4M3_VALUES,
  encode,
  findNonFinite,
  type FloatDtype,
} from "../../weights/dtype.ts";

Deno.test("E4M3_VALUES has the published check values", () => {
  const known: [number, number][] = [
    [0x00, 0],
    [0x01, 0.001953125],
    [0x07, 0.013671875],
    [0x08, 0.015625],
    [0x38, 1],
    [0x3c, 1.5],
    [0x40, 2],
    [0x77, 240],
    [0x7e, 448],
    [0x81, -0.001953125],
    [0x7f, NaN],
    [0xff, NaN],
  ];
  for (const [code, value] of known) assertEquals(E4M3_VALUES[code], value);
});

Deno.test("encode() gives back every e4m3fn code, and rounds ties to even between neighbours", () => {
  for (let code = 0; code < 0x7f; code++) {
    const value = E4M3_VALUES[code] ?? NaN;
    for (const sign of [0, 0x80]) {
      const signed = sign ? -value : value;
      assertEquals(encode(Float32Array.of(signed), "F8_E4M3")[0], code | sign);
    }
    if (code === 0x7e) continue;
    const next = E4M3_VALUES[code + 1] ?? NaN;
    const middle = (value + next) / 2;
    const even = code % 2 === 0 ? code : code + 1;
    const near = Float32Array.of(middle, middle * 0.999, middle * 1.001);
    assertEquals([...encode(near, "F8_E4M3")], [even, code, code + 1]);
  }
});

Deno.test("encode() saturates e4m3fn and keeps NaN", () => {
  const values = Float32Array.of(449, 1e9, Infinity, -1e9, NaN, 1e-9, -1e-9);
  assertEquals([...encode(values, "F8_E4M3")], [0x7e, 0x7e, 0x7e, 0xfe, 0x7f, 0, 0x80]);
});

Deno.test("encode() rounds bf16 to nearest even and keeps NaN and infinity", () => {
  const bits = Uint32Array.of(
    0x3f808000, // tie, even below
    0x3f818000, // tie, odd below
    0x3f808001,
    0x7f7fffff, // rounds up to infinity
    0x7f800001, // a NaN whose payload would vanish
    0xff800000,
  );
  const halves = new Uint16Array(encode(new Float32Array(bits.buffer), "BF16").buffer);
  assertEquals([...halves], [0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0, 0xff80]);
});

Deno.test("decode() reads bf16, f16 and f32, also from unaligned views", () => {
  const expected = Float32Array.of(1, -2.5, 0.15625, 0, 96);
  for (const dtype of ["BF16", "F16", "F32", "F8_E4M3"] as FloatDtype[]) {
    const bytes = encode(expected, dtype);
    assertEquals(decode(bytes, dtype), expected);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    assertEquals(decode(shifted.subarray(1), dtype), expected);
  }
  assertEquals(decode(Uint8Array.of(1, 0x80), "BF16")[0], -9.183549615799121e-41);
});

Deno.test("decode() copies, and throws for half an element", () => {
  const bytes = encode(Float32Array.of(1, 2), "F32");
  const values = decode(bytes, "F32");
  bytes.fill(0);
  assertEquals([...values], [1, 2]);
  assertThrows(() => decode(bytes.subarray(1), "F32"), RangeError, "7 bytes");
});

Deno.test("findNonFinite() finds each kind of bad value at each place", () => {
  const bad: [FloatDtype, number, readonly number[]][] = [
    ["F8_E4M3", 1, [0x7f, 0xff]],
    ["BF16", 2, [0x7f80, 0xff80, 0x7f81, 0xffff]],
    ["F16", 2, [0x7c00, 0xfc00, 0x7c01, 0xffff]],
    ["F32", 4, [0x7f800000, 0xff800000, 0x7f800001, 0xffffffff]],
  ];
  for (const [dtype, width, codes] of bad) {
    for (const start of [0, 1, 4]) {
      const buffer = new Uint8Array(start + 37 * width);
      const bytes = buffer.subarray(start);
      for (let i = 0; i < 37; i++) {
        for (const code of codes) {
          for (let b = 0; b < width; b++) bytes[i * width + b] = code >>> (8 * b);
          assertEquals(findNonFinite(bytes, dtype), i, `${dtype} ${code.toString(16)} at ${i}`);
        }
        bytes.fill(0, i * width, (i + 1) * width);
      }
      assertEquals(findNonFinite(bytes, dtype), -1);
    }
  }
});

Deno.test("findNonFinite() passes every finite code", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i).filter((code) =>
    (code & 0x7f) !== 0x7f
  );
  assertEquals(findNonFinite(all, "F8_E4M3"), -1);
  for (const dtype of ["BF16", "F16"] as const) {
    const limit = dtype === "BF16" ? 0x7f80 : 0x7c00;
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i)
      .filter((half) => (half & 0x7fff) < limit);
    assert(halves.length > 60_000);
    assertEquals(findNonFinite(new Uint8Array(halves.buffer), dtype), -1);
  }
  const words = Uint32Array.of(0x7f7fffff, 0xff7fffff, 0, 0x80000000, 1);
  assertEquals(findNonFinite(new Uint8Array(words.buffer), "F32"), -1);
});
