import { assertEquals, AssertionError, assertRejects, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { assertSpyCall, assertSpyCalls, MockError, spy, stub } from "@std/testing/mock";
import { assertSnapshot, serialize } from "@std/testing/snapshot";
import { FakeTime, TimeError } from "@std/testing/time";

Deno.test("spy() records arguments, results, errors and this", () => {
  const add = spy((a: number, b: number) => a + b);
  assertEquals(add(1, 2), 3);
  assertSpyCalls(add, 1);
  assertSpyCall(add, 0, { args: [1, 2], returned: 3 });
  assertThrows(() => assertSpyCalls(add, 2), AssertionError);
  assertThrows(() => assertSpyCall(add, 0, { args: [2, 1] }), AssertionError);
  assertThrows(() => assertSpyCall(add, 1), MockError);
  const broken = spy(() => {
    throw new RangeError("x");
  });
  assertThrows(() => broken(), RangeError);
  assertEquals(broken.calls[0]?.error?.message, "x");
});

Deno.test("stub() replaces a method until it is restored", () => {
  class Counter {
    count = 1;
    next(): number {
      return this.count++;
    }
  }
  const counter = new Counter();
  {
    using next = stub(counter, "next", () => 9);
    assertEquals(counter.next(), 9);
    assertSpyCall(next, 0, { self: counter, returned: 9 });
  }
  assertEquals(counter.next(), 1);
  const watched = spy(counter, "next");
  assertEquals([counter.next(), watched.calls.length], [2, 1]);
  watched.restore();
  assertEquals(Object.hasOwn(counter, "next"), false);
  assertThrows(() => watched.restore(), MockError);
});

Deno.test("FakeTime moves the clock and runs timers in the order they fall due", () => {
  using time = new FakeTime(1000);
  const seen: string[] = [];
  const note = (what: string) => seen.push(`${what}@${Date.now()}`);
  setTimeout(note, 30, "late");
  setTimeout(note, 10, "early");
  const interval = setInterval(note, 15, "beat");
  clearTimeout(setTimeout(note, 5, "never"));
  time.tick(9);
  assertEquals(seen, []);
  time.tick(21);
  assertEquals(seen, ["early@1010", "beat@1015", "late@1030", "beat@1030"]);
  clearInterval(interval);
  time.tick(100);
  assertEquals([seen.length, new Date().getTime(), time.now - time.start], [4, 1130, 130]);
  assertThrows(() => new FakeTime(), TimeError);
});

Deno.test("FakeTime.tickAsync() lets promises settle between timers", async () => {
  const before = globalThis.setTimeout;
  const time = new FakeTime();
  let steps = 0;
  (async () => {
    for (; steps < 3; steps++) await new Promise((resolve) => setTimeout(resolve, 10));
  })();
  await time.tickAsync(30);
  assertEquals(steps, 3);
  time.restore();
  assertEquals(globalThis.setTimeout, before);
});

const order: string[] = [];
describe("hooks", () => {
  beforeEach(() => void order.push("outer before"));
  afterEach(() => void order.push("outer after"));
  describe("of groups within groups", () => {
    beforeEach(() => void order.push("inner before"));
    afterEach(() => void order.push("inner after"));
    it("run around each test", () => void order.push("test"));
  });
  it("run outer first before, and inner first after", () => {
    assertEquals(order, [
      "outer before",
      "inner before",
      "test",
      "inner after",
      "outer after",
      "outer before",
    ]);
  });
});

Deno.test("assertSnapshot() holds values to what was recorded", async (t) => {
  await assertSnapshot(t, { b: "`$\\", a: [1, "line\nbreak"] });
  await t.step("of one line", async (step) => {
    await assertSnapshot(step, 7);
  });
  await t.step("or not recorded", async (step) => {
    if (Deno.args.includes("--update")) return;
    await assertRejects(() => assertSnapshot(step, 1), AssertionError, "Missing snapshot");
  });
  assertEquals(serialize({ b: 1, a: 2 }), "{\n  a: 2,\n  b: 1,\n}");
});
