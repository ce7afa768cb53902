/**
 * The part of `@std/testing/mock` that this project's tests use. Signatures are those of the real package.
 * @module
 */
// deno-lint-ignore-file no-explicit-any
import { assertEquals } from "@std/assert";

/** An error in the use of a spy or stub. */
export class MockError extends Error {
  override name = "MockError";
}

/** One recorded call. */
export interface SpyCall<Self = any, Args extends unknown[] = any[], Return = any> {
  args: Args;
  returned?: Return;
  error?: Error;
  self?: Self;
}

/** A function that records its calls. */
export interface Spy<Self = any, Args extends unknown[] = any[], Return = any> {
  (this: Self, ...args: Args): Return;
  original: (this: Self, ...args: Args) => Return;
  calls: SpyCall<Self, Args, Return>[];
  restored: boolean;
  restore(): void;
}

/** A recording replacement of a method; `using` restores it. */
export interface MethodSpy<Self = any, Args extends unknown[] = any[], Return = any>
  extends Spy<Self, Args, Return>, Disposable {}

/** A method replaced by another function. */
export interface Stub<Self = any, Args extends unknown[] = any[], Return = any>
  extends MethodSpy<Self, Args, Return> {
  fake: (this: Self, ...args: Args) => Return;
}

type MethodOf<Self, Key extends keyof Self> = Self[Key] extends
  (this: any, ...args: infer Args) => infer Return ? { args: Args; returned: Return }
  : never;

/** Wraps a function, or a method in place, so that its calls are recorded. */
export function spy<Self, Args extends unknown[] = [], Return = undefined>(
  func?: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
export function spy<Self, Key extends keyof Self>(
  self: Self,
  property: Key,
): MethodSpy<Self, MethodOf<Self, Key>["args"], MethodOf<Self, Key>["returned"]>;
export function spy(target?: any, property?: PropertyKey): any {
  if (property !== undefined) return replaced(target, property, target[property]);
  return recorder(target ?? (() => {}), target ?? (() => {}), () => {
    throw new MockError("Cannot restore: the spy does not stand for a method");
  });
}

/** Replaces a method by `func`, or by one that returns undefined, and records its calls. */
export function stub<Self, Key extends keyof Self>(
  self: Self,
  property: Key,
  func?: (
    this: Self,
    ...args: MethodOf<Self, Key>["args"]
  ) => MethodOf<Self, Key>["returned"],
): Stub<Self, MethodOf<Self, Key>["args"], MethodOf<Self, Key>["returned"]> {
  return replaced(self, property, func ?? (() => undefined));
}

/** Throws unless `spy` was called `expectedCalls` times. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  assertEquals(spy.calls.length, expectedCalls, "Spy was not called as often as expected");
}

/** What {@linkcode assertSpyCall} compares; only what is given. */
export interface ExpectedSpyCall<Self = any, Args extends unknown[] = any[], Return = any> {
  args?: [...Args, ...unknown[]];
  self?: Self;
  returned?: Return;
}

/** Throws unless call number `callIndex` of `spy` is as expected. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected?: ExpectedSpyCall<Self, Args, Return>,
): void {
  const call = spy.calls[callIndex];
  if (!call) throw new MockError(`Cannot check call ${callIndex}: it was never made`);
  if (!expected) return;
  if ("args" in expected) assertEquals<unknown>(call.args, expected.args);
  if ("self" in expected) assertEquals<unknown>(call.self, expected.self);
  if ("returned" in expected) assertEquals<unknown>(call.returned, expected.returned);
}

function replaced(self: any, property: PropertyKey, fake: (...args: any[]) => unknown): any {
  const original = self[property];
  if (typeof original !== "function") {
    throw new MockError(`Cannot replace "${String(property)}": it is not a method`);
  }
  const own = Object.getOwnPropertyDescriptor(self, property);
  const wrapped = recorder(original, fake, () => {
    if (own) Object.defineProperty(self, property, own);
    else delete self[property];
  });
  Object.defineProperty(self, property, { value: wrapped, configurable: true, writable: true });
  return wrapped;
}

function recorder(
  original: (...args: any[]) => unknown,
  fake: (...args: any[]) => unknown,
  restore: () => void,
): any {
  const calls: SpyCall[] = [];
  function wrapped(this: any, ...args: any[]): unknown {
    const call: SpyCall = { args, ...(this === undefined ? {} : { self: this }) };
    calls.push(call);
    try {
      return call.returned = fake.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    }
  }
  const recorded = Object.assign(wrapped, {
    original,
    fake,
    calls,
    restored: false,
    restore(): void {
      if (recorded.restored) throw new MockError("Cannot restore: the method is restored already");
      restore();
      recorded.restored = true;
    },
    [Symbol.dispose](): void {
      if (!recorded.restored) recorded.restore();
    },
  });
  return recorded;
}
