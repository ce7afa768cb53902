import { assertEquals } from "@std/assert";
import type { Steps } from "../../../runtime/text/steps.ts";
import { Turns } from "../../../runtime/text/turns.ts";

/** Notes which computation takes a step, and what becomes of it. */
class Log {
  readonly lines: string[] = [];
  readonly turns = new Turns(0);

  *#steps(name: string, count: number, fail: boolean): Steps<string> {
    for (let i = 0; i < count; i++) {
      this.lines.push(name);
      if (i < count - 1) yield;
    }
    if (fail) throw new Error(name);
    return name;
  }

  /** Resolves when the computation has ended. */
  add(id: number, name: string, { steps = 1, fail = false } = {}): Promise<void> {
    return new Promise((resolve) =>
      this.turns.add(id, this.#steps(name, steps, fail), {
        done: (result) => resolve(void this.lines.push(`${result} done`)),
        failed: (error) => resolve(void this.lines.push(`${(error as Error).message} failed`)),
      })
    );
  }
}

Deno.test("Turns lets computations take turns, a short one past long ones", async () => {
  const log = new Log();
  const long = [log.add(1, "a", { steps: 3 }), log.add(2, "b", { steps: 3 })];
  await log.add(3, "c");
  assertEquals(log.lines, ["a", "a", "b", "c", "c done"]);
  await Promise.all(long);
  assertEquals(log.lines.slice(5), ["a", "a done", "b", "b", "b done"]);
});

Deno.test("Turns takes no more steps of what was cancelled, and goes on after a failure", async () => {
  const log = new Log();
  void log.add(1, "a", { steps: 1000 });
  await log.add(2, "b", { fail: true });
  log.turns.cancel(1);
  log.turns.cancel(77);
  await log.add(3, "c");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(log.lines, ["a", "a", "b", "b failed", "c", "c done"]);
});

Deno.test("Turns begins again after a rest", async () => {
  const log = new Log();
  await log.add(1, "a", { steps: 2 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await log.add(2, "b");
  assertEquals(log.lines, ["a", "a", "a done", "b", "b done"]);
});
