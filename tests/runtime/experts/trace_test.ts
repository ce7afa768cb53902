import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  formatTrace,
  neededExperts,
  parseTrace,
  TraceRecorder,
} from "../../../runtime/experts/trace.ts";
import { syntheticTrace } from "../../../runtime/replay/synthetic.ts";
import { ROUTED_ODD } from "./recorded.ts";

for (const experts of [7, 256, 257, 512]) {
  Deno.test(`parseTrace() reads what formatTrace() wrote, ${experts} experts`, () => {
    const sizes = { layers: 3, experts, topK: 5, steps: 6, rows: 4, sticky: 0.4, zipf: 0 };
    const trace = syntheticTrace(sizes);
    assertEquals(parseTrace(formatTrace(trace)), trace);
  });
}

Deno.test("parseTrace() reads a trace written by hand", () => {
  const text = '{"format":"deltapage-routing-1","model":"m","layers":2,"experts":8,"topK":2}\n' +
    '{"rows":3,"ids":["AAECAwQF","BQQDAgEA"]}\n';
  assertEquals(parseTrace(text), {
    header: { model: "m", layers: 2, experts: 8, topK: 2 },
    steps: [{
      rows: 3,
      layers: [Uint16Array.of(0, 1, 2, 3, 4, 5), Uint16Array.of(5, 4, 3, 2, 1, 0)],
    }],
  });
});

Deno.test("parseTrace() names the line that is wrong", () => {
  const head = '{"format":"deltapage-routing-1","model":"m","layers":1,"experts":4,"topK":2}';
  const wrong: readonly (readonly [string, string])[] = [
    ["", "line 1"],
    ["[]", 'line 1: found format "undefined"'],
    [head.replace("routing-1", "routing-9"), "line 1: found format"],
    [head.replace('"topK":2', '"topK":5'), "line 1: wanted model"],
    [`${head}\nnonsense`, 'line 2: found "nonsense"'],
    [`${head}\n{"rows":1,"ids":[]}`, "line 2: wanted rows and the ids of 1 layers"],
    [`${head}\n{"rows":1,"ids":["AAEC"]}`, "line 2: found 3 ids, wanted 2 for each of 1 rows"],
    [`${head}\n{"rows":1,"ids":["AAQ="]}`, "line 2: found expert 4 of 4"],
    [`${head}\n{"rows":1,"ids":["?"]}`, "line 2: found ids that are no base64"],
  ];
  for (const [text, message] of wrong) assertThrows(() => parseTrace(text), SyntaxError, message);
});

Deno.test("TraceRecorder leaves out a step that failed, and copies what it is told", () => {
  const recorder = new TraceRecorder({ model: "m", layers: 2, experts: 4, topK: 1 });
  const ids = Uint32Array.of(3);
  recorder.onRoute(0, ids, 1);
  recorder.onRoute(0, ids, 1);
  recorder.onRoute(1, ids, 1);
  ids[0] = 0;
  assertEquals(recorder.trace().steps, [{
    rows: 1,
    layers: [Uint16Array.of(3), Uint16Array.of(3)],
  }]);
});

Deno.test("the recorded trace is of 300 prompt tokens in chunks and 60 decoded ones", () => {
  const { header, steps } = ROUTED_ODD;
  assertEquals(header, { model: "odd_fp8", layers: 5, experts: 20, topK: 5 });
  assertEquals(steps.map(({ rows }) => rows), [64, 64, 64, 64, 44, ...Array(60).fill(1)]);
  for (const { rows, layers } of steps) {
    for (const ids of layers) {
      for (let row = 0; row < rows; row++) {
        assertEquals(neededExperts(ids.subarray(5 * row, 5 * row + 5)).length, 5);
      }
    }
  }
  assert(formatTrace(ROUTED_ODD).length < 100_000);
});
