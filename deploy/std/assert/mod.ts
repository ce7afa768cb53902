/**
 * The part of `@std/assert` that this project's tests use, over `node:assert`, for machines that cannot
 * reach JSR. Signatures are those of the real package; see `links` in deno.json.
 * @module
 */
import {
  AssertionError as NodeAssertionError,
  deepStrictEqual,
  notDeepStrictEqual,
} from "node:assert";

/** Thrown by every assertion that fails. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

/** Throws always. */
export function fail(message = "Failed"): never {
  throw new AssertionError(message);
}

/** Throws unless `value` is truthy. */
export function assert(value: unknown, message = "Expected a truthy value"): asserts value {
  if (!value) fail(message);
}

/** Throws if `value` is truthy. */
export function assertFalse(value: unknown, message = "Expected a falsy value"): void {
  if (value) fail(message);
}

/** Throws unless `value` is neither null nor undefined. */
export function assertExists<T>(
  value: T,
  message = `Expected a value, got ${value}`,
): asserts value is NonNullable<T> {
  if (value === null || value === undefined) fail(message);
}

/** Throws unless both are equal in structure. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  rethrown(() => deepStrictEqual(actual, expected), message);
}

/** Throws if both are equal in structure. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  rethrown(() => notDeepStrictEqual(actual, expected), message);
}

/** Throws unless `Object.is(actual, expected)`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is T {
  if (!Object.is(actual, expected)) {
    fail(message ?? `Expected ${Deno.inspect(expected)}, got ${Deno.inspect(actual)}`);
  }
}

/** Throws unless the two numbers differ by at most `tolerance` (default: 1e-7 of the expected one). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  message?: string,
): void {
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (Object.is(actual, expected) || Math.abs(actual - expected) <= allowed) return;
  fail(message ?? `Expected ${expected} within ${allowed}, got ${actual}`);
}

/** Throws unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void {
  if (!(actual > expected)) fail(message ?? `Expected ${actual} > ${expected}`);
}

/** Throws unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual >= expected)) fail(message ?? `Expected ${actual} >= ${expected}`);
}

/** Throws unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, message?: string): void {
  if (!(actual < expected)) fail(message ?? `Expected ${actual} < ${expected}`);
}

/** Throws unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void {
  if (!(actual <= expected)) fail(message ?? `Expected ${actual} <= ${expected}`);
}

/** Throws unless `expected` occurs in `actual`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void {
  if (!actual.includes(expected)) {
    fail(message ?? `Expected ${JSON.stringify(actual)} to contain ${JSON.stringify(expected)}`);
  }
}

/** Throws unless `expected` matches `actual`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void {
  if (!expected.test(actual)) {
    fail(message ?? `Expected ${JSON.stringify(actual)} to match ${expected}`);
  }
}

/** Throws unless `actual` is an instance of `expected`. */
// deno-lint-ignore no-explicit-any
export function assertInstanceOf<T extends abstract new (...args: any[]) => any>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expected)) fail(message ?? `Expected an instance of ${expected.name}`);
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

/** Throws unless `fn` throws an `errorClass` whose message includes `includes`; returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
): E {
  try {
    fn();
  } catch (error) {
    return checked(error, errorClass, includes);
  }
  return fail("Expected the function to throw");
}

/** Rejects unless the promise that `fn` returns rejects with a matching error; resolves to the error. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  includes?: string,
): Promise<E> {
  try {
    await fn();
  } catch (error) {
    return checked(error, errorClass, includes);
  }
  return fail("Expected the function to reject");
}

function checked<E extends Error>(
  error: unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
): E {
  if (!(error instanceof Error)) fail(`Expected an Error to be thrown, got ${Deno.inspect(error)}`);
  if (errorClass && !(error instanceof errorClass)) {
    fail(`Expected ${errorClass.name}, got ${error.name}: ${error.message}`);
  }
  if (includes !== undefined) assertStringIncludes(error.message, includes);
  return error as E;
}

function rethrown(check: () => void, message?: string): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof NodeAssertionError)) throw error;
    fail(message === undefined ? error.message : `${message}: ${error.message}`);
  }
}
