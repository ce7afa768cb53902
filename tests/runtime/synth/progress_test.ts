import { assertEquals, assertMatch } from "@std/assert";
import { progressBar } from "../../../runtime/synth/progress.ts";

function record(isTerminal: boolean, steps: number): string[] {
  const written: string[] = [];
  const progress = progressBar({ isTerminal, write: (text) => written.push(text) });
  for (let done = 1; done <= steps; done++) progress(done, steps);
  return written;
}

Deno.test("progressBar() writes a line at every tenth where nobody watches", () => {
  const written = record(false, 5000);
  assertEquals(written.length, 10);
  assertMatch(written[4]!, /^\[#{15}\.{15}\] .* of .*\/s\n$/);
  assertEquals(record(false, 1).length, 1);
});

Deno.test("progressBar() draws one bar anew on a terminal, and ends its line", () => {
  const written = record(true, 5000);
  assertEquals(written.map((text) => text[0]).join("").replaceAll("\r", ""), "");
  assertEquals(written.filter((text) => text.endsWith("\n")), [written.at(-1)!]);
  assertMatch(written.at(-1)!, /\[#{30}\]/);
});
