/** Values to server-sent events. @module */
import { toTransformStream } from "@std/streams";

/** Headers of an event stream; the last keeps reverse proxies from holding events back. */
export const EVENT_STREAM_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
};

/** Options of {@linkcode eventStream}. */
export interface EventStreamOptions {
  /** Silence after which a comment is sent. */
  readonly keepAliveMs: number;
  /** The value that a thrown error is sent as. */
  readonly describe: (error: unknown) => unknown;
  /** Called when the reader goes away. */
  readonly onCancel: () => void;
}

/**
 * Each value as one event, then `[DONE]`. An error becomes an event of its own before `[DONE]`: clients
 * take a stream that is merely cut for a complete one. Nothing is read ahead of the client.
 */
export function eventStream(
  values: AsyncIterable<unknown>,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return ReadableStream.from(events(values, options.describe))
    .pipeThrough(toTransformStream((source) => keepAlive(source, options.keepAliveMs)))
    .pipeThrough(
      new TransformStream<string, Uint8Array>({
        transform: (event, controller) => controller.enqueue(encoder.encode(event)),
        cancel: () => options.onCancel(),
      }),
    );
}

/** One event of JSON. */
export function event(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

async function* events(
  values: AsyncIterable<unknown>,
  describe: (error: unknown) => unknown,
): AsyncGenerator<string> {
  try {
    for await (const value of values) yield event(value);
  } catch (error) {
    yield event(describe(error));
  }
  yield "data: [DONE]\n\n";
}

/** Passes events on, and a comment whenever none came for `intervalMs`. */
export async function* keepAlive(
  source: ReadableStream<string>,
  intervalMs: number,
): AsyncGenerator<string> {
  const reader = source.getReader();
  try {
    let next = reader.read();
    while (true) {
      const result = await within(next, intervalMs);
      if (result === null) {
        yield ": ping\n\n";
        continue;
      }
      if (result.done) return;
      yield result.value;
      next = reader.read();
    }
  } finally {
    reader.releaseLock();
  }
}

/**
 * Waits for the first value for at most `ms`, so that what fails at once can still be told by a status.
 * @throws what `values` throws before its first value.
 */
export async function committed<T>(
  values: AsyncGenerator<T>,
  ms: number,
): Promise<AsyncIterable<T>> {
  const first = values.next();
  await within(first, ms);
  return resumed(first, values);
}

async function* resumed<T>(
  first: Promise<IteratorResult<T, unknown>>,
  rest: AsyncGenerator<T>,
): AsyncGenerator<T> {
  try {
    const { done, value } = await first;
    if (done) return;
    yield value;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/** The promise's value, or null if it takes longer than `ms`. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  const { promise: elapsed, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(resolve, ms, null);
  try {
    return await Promise.race([promise, elapsed]);
  } finally {
    clearTimeout(timer);
  }
}
