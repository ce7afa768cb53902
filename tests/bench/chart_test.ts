import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { hash } from "../pattern.ts";
import type { KernelResult } from "./kernel_case.ts";
import { contains, overlap, placeLabels } from "./labels.ts";
import { rooflineSvg } from "./roofline.ts";

const FRAME = { x: 400, y: 250, width: 800, height: 500 };

/** Points of which many nearly coincide. */
function crowd(count: number, salt: number) {
  return Array.from({ length: count }, (_, i) => ({
    x: 100 + hash(i % 5, salt) % 600 + i % 3,
    y: 100 + hash(i % 4, salt + 1) % 300,
    width: 7 * (1 + i % 2),
    height: 13,
  }));
}

function kernel(i: number): KernelResult {
  const bytes = 1e6 * (1 + i % 3);
  return {
    name: `kernel <${i}> & co`,
    limit: i % 2 ? "bytes" : "flops",
    bytes,
    flops: bytes * 10 ** (i % 4),
    seconds: 1e-3 * (1 + hash(i, 1) % 7),
    ceiling: 1e9,
    ofCeiling: 0.5,
    error: 0,
  };
}

Deno.test("placeLabels() lets no label cover another, a point, or leave the frame", () => {
  for (let salt = 0; salt < 30; salt++) {
    const points = crowd(24, salt);
    const boxes = placeLabels(points, { frame: FRAME, radius: 4 });
    for (const [i, box] of boxes.entries()) {
      assert(contains(FRAME, box));
      for (const other of boxes.slice(0, i)) assert(!overlap(box, other));
      for (const { x, y } of points) assert(!overlap(box, { x, y, width: 8, height: 8 }));
    }
  }
});

Deno.test("placeLabels() puts a lone label right of its point, and says where there is no room", () => {
  const point = { x: 100, y: 100, width: 20, height: 10 };
  const [box] = placeLabels([point], { frame: FRAME, radius: 4 });
  assertEquals([box!.y, box!.x > point.x + 10 && box!.x < point.x + 40], [100, true]);
  const small = { x: 100, y: 100, width: 30, height: 16 };
  assertThrows(() => placeLabels([point], { frame: small, radius: 8 }), RangeError, "no room");
});

Deno.test("rooflineSvg() has a dot and a name for each kernel, inside the plot", () => {
  const kernels = Array.from({ length: 21 }, (_, i) => kernel(i));
  const svg = rooflineSvg({ kernels, read: 3e9, fma: 5e10 }, { title: "a < b", subtitle: "c" });
  assertMatch(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 \d+ \d+"/);
  assertMatch(svg, /<title>a &lt; b<\/title>/);
  assertMatch(svg, /prefers-color-scheme: dark/);
  assertEquals(svg.includes("NaN"), false);
  for (const { name } of kernels) {
    assert(svg.includes(name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")));
  }
  const height = Number(/viewBox="0 0 \d+ (\d+)"/.exec(svg)![1]);
  const dots = [...svg.matchAll(/<circle class="\w+" cx="([\d.]+)" cy="([\d.]+)"/g)];
  assertEquals(dots.length, 2 * kernels.length);
  for (const [, x, y] of dots) assert(Number(x) > 0 && Number(x) < 1040 && Number(y) < height);
});

Deno.test("rooflineSvg() puts a kernel at the ceiling on the roof", () => {
  const still = { ...kernel(0), bytes: 1e6, flops: 1e9, seconds: 1e9 / 5e10 };
  const svg = rooflineSvg({ kernels: [still], read: 3e9, fma: 5e10 }, { title: "", subtitle: "" });
  const [, y] = /<circle class="flops" cx="[\d.]+" cy="([\d.]+)"/.exec(svg)!;
  const [, roof] = /class="roof" d="M .* L [\d.]+ ([\d.]+)"/.exec(svg)!;
  assertEquals(y, roof);
});
