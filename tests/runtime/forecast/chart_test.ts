import { assertEquals, assertMatch } from "@std/assert";
import { forecastChart } from "../../../runtime/forecast/chart.ts";
import { vramCurve } from "../../../runtime/forecast/curve.ts";
import { forecast } from "../../../runtime/forecast/forecast.ts";
import { element, label, niceTicks, path } from "../../../runtime/forecast/svg.ts";
import { requestOf } from "./ask.ts";

const GIB = 2 ** 30;

function chartOf(line: string): string {
  const request = requestOf(line);
  return forecastChart(request, forecast(request));
}

/** Opening and closing tags pair up. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  for (const [, close, name, , self] of svg.matchAll(/<(\/?)([a-z]+)([^<>]*?)(\/?)>/g)) {
    if (close) {
      if (open.pop() !== name) return false;
    } else if (!self) open.push(name!);
  }
  return open.length === 0;
}

Deno.test("element() escapes what it is given, and rounds pixels", () => {
  assertEquals(
    label([1.26, 2], 'a<b & "c"'),
    '<text x="1.3" y="2">a&lt;b &amp; &quot;c&quot;</text>',
  );
  assertEquals(element("rect", { class: '"' }), '<rect class="&quot;"/>');
  assertEquals(path([[0, 0], [10, 5.55]], {}, true), '<path d="M0 0L10 5.6Z"/>');
});

Deno.test("niceTicks() covers the top in steps that people count in", () => {
  assertEquals(niceTicks(46, 6), [0, 10, 20, 30, 40, 50]);
  assertEquals(niceTicks(1, 5), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  for (const top of [0.003, 0.7, 9.9, 128, 5000]) {
    const ticks = niceTicks(top, 6);
    assertEquals(ticks.at(-1)! >= top && ticks.length <= 8, true, String(top));
  }
});

Deno.test("vramCurve() rises with memory, is flat once everything fits, and empty below", () => {
  const request = requestOf("--device rtx-3060-12gb --context 32768");
  const points = vramCurve(request, { from: 2 * GIB, to: 64 * GIB });
  for (let i = 1; i < points.length; i++) {
    assertEquals(points[i]!.rate >= points[i - 1]!.rate, true);
    assertEquals(points[i]!.least <= points[i]!.rate, true);
  }
  assertEquals(points[0]!.vram > 4 * GIB, true);
  const [flat, end] = [points.find(({ vram }) => vram > 37 * GIB)!, points.at(-1)!];
  assertEquals(flat.rate, end.rate);
  // A card's own point is what its forecast says.
  const [card] = vramCurve(request, { from: 12 * GIB, to: 12 * GIB });
  assertEquals(card!.rate, forecast(request).speed!.tokensPerSecond.value);
});

Deno.test("forecastChart() names axes, cards and the threshold, in colours for light and dark", () => {
  const chart = chartOf("--device rtx-3060-12gb --ram 32G --context 32768");
  assertEquals(isWellFormed(chart), true);
  assertMatch(chart, /<title>35B-A3B fp8: tokens\/s over the card's memory<\/title>/);
  assertMatch(chart, /memory of the card, GiB/);
  assertMatch(chart, />tokens\/s<\/text>/);
  assertMatch(chart, /everything on the card: 36\.9 GiB/);
  assertMatch(chart, /does not fit below [\d.]+ GiB/);
  assertEquals(chart.match(/<circle /g)!.length, 7);
  assertMatch(chart, /@media \(prefers-color-scheme:dark\)/);
  assertEquals(/NaN|undefined|Infinity/.test(chart), false);
});

for (
  const line of [
    "--model 397B-A17B --device h200",
    "--model 0.8B --device t4",
    "--model 27B --device rtx-4090",
    "--vram 2G --bandwidth 50",
  ]
) {
  Deno.test(`forecastChart() of ${line} stays within the picture`, () => {
    const chart = chartOf(line);
    assertEquals(isWellFormed(chart) && !/NaN|undefined/.test(chart), true);
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(chart)!.map(Number);
    for (const [, x, y] of chart.matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)) {
      assertEquals(Number(x) >= 0 && Number(x) <= width!, true, x);
      assertEquals(Number(y) >= 0 && Number(y) <= height!, true, y);
    }
  });
}
