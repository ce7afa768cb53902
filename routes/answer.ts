/** The life of one answer: admission, the client's presence, the clock, and the form it is sent in. @module */
import type { Context } from "hono";
import { errorBody, RequestError, toRequestError } from "./errors.ts";
import type { Service } from "./service.ts";
import { committed, EVENT_STREAM_HEADERS, eventStream } from "./sse.ts";

/** How long a stream's status waits for the first token or an early refusal. */
const COMMIT_MS = 1000;
const KEEP_ALIVE_MS = 5000;
const MAX_ANSWER_MS = 30 * 60 * 1000;

/** An answer to be given: how it is planned, its pieces, and the two forms they can be sent in. */
export interface Answer<Plan, Piece> {
  readonly stream: boolean;
  /** Checks and encodes the prompt. Throws the reason of `signal` once it is aborted. */
  plan(signal: AbortSignal): Promise<Plan>;
  /** Makes the pieces; ends early, without error, once `signal` is aborted. */
  run(plan: Plan, signal: AbortSignal): AsyncGenerator<Piece>;
  /** Pieces to the values of an event stream. */
  chunks(pieces: AsyncIterable<Piece>): AsyncIterable<unknown>;
  /** Pieces to one JSON body. */
  whole(pieces: AsyncIterable<Piece>): Promise<unknown>;
}

/**
 * Gives the answer. All work for it is aborted as soon as the client goes away, in either form.
 * @throws {RequestError} what comes before the first byte; later errors become an event of the stream.
 */
export async function give<Plan, Piece>(
  c: Context,
  service: Service,
  answer: Answer<Plan, Piece>,
): Promise<Response> {
  const { keepAliveMs = KEEP_ALIVE_MS, maxAnswerMs = MAX_ANSWER_MS } = service.options;
  const leave = service.admission.enter();
  const life = new AbortController();
  const timer = setTimeout(() => life.abort(tooLong(maxAnswerMs)), maxAnswerMs);
  const signal = AbortSignal.any([c.req.raw.signal, life.signal]);
  // At once: the pieces may be waiting for a client that never reads on.
  signal.addEventListener("abort", leave, { once: true });
  const end = () => {
    clearTimeout(timer);
    leave();
  };
  const pieces = untilAborted(answer.run(await planned(answer, signal, end), signal), signal, end);
  if (!answer.stream) return c.json(await answer.whole(pieces));

  const values = answer.chunks(await committed(pieces, COMMIT_MS));
  const body = eventStream(values, {
    keepAliveMs,
    describe: (error) => errorBody(toRequestError(error, c.get("requestId"))),
    onCancel: () => {
      life.abort();
      // Ends the pieces even if nobody had begun to read them.
      pieces.return(undefined).catch(() => {});
    },
  });
  return c.body(body, 200, { ...EVENT_STREAM_HEADERS });
}

/** Runs up to `width` tasks at a time; the results are in the order of the tasks. */
export async function inOrder<T>(
  tasks: readonly (() => Promise<T>)[],
  width: number,
): Promise<T[]> {
  const results: T[] = [];
  const queue = tasks.entries();
  const worker = async () => {
    for (const [index, task] of queue) results[index] = await task();
  };
  await Promise.all(Array.from({ length: Math.min(width, tasks.length) }, worker));
  return results;
}

async function planned<Plan>(
  answer: { plan(signal: AbortSignal): Promise<Plan> },
  signal: AbortSignal,
  onFailure: () => void,
): Promise<Plan> {
  try {
    return await answer.plan(signal);
  } catch (error) {
    onFailure();
    throw error;
  }
}

async function* untilAborted<Piece>(
  pieces: AsyncGenerator<Piece>,
  signal: AbortSignal,
  onEnd: () => void,
): AsyncGenerator<Piece> {
  try {
    yield* pieces;
    // An aborted engine ends quietly; half an answer must not look like a whole one.
    signal.throwIfAborted();
  } finally {
    onEnd();
  }
}

function tooLong(maxAnswerMs: number): RequestError {
  return new RequestError(
    504,
    `Cannot go on: the answer took longer than ${maxAnswerMs / 1000} s`,
    { type: "timeout_error", code: "timeout" },
  );
}
