/** Listening, and ending in good order. @module */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Engine } from "../runtime/mod.ts";
import { listen } from "./listener.ts";

/** How long connections may take to close once every answer has been given. */
const CLOSE_MS = 2000;

/** Options of {@linkcode serve}. */
export interface ServeOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** How long answers in progress may go on after a signal to end. */
  readonly drainSeconds: number;
  readonly engine: Engine;
}

/** A server that listens. */
export interface RunningServer {
  readonly host: string;
  readonly port: number;
  /**
   * Resolves when the server has ended. Call `Deno.exit(0)` then: a connection that nobody reads from may
   * still be open, and would keep the process.
   */
  readonly finished: Promise<void>;
  /**
   * Ends the server: new requests get 503 from now on, those in progress go on for `drainSeconds` and
   * are then cut with an error. A second call cuts them at once.
   */
  stop(): Promise<void>;
}

/**
 * Listens at once, whether the engine is ready or not. SIGTERM and SIGINT stop the server.
 * @throws {ListenError} if the address cannot be listened on
 */
export async function serve(app: OpenAPIHono, options: ServeOptions): Promise<RunningServer> {
  const { engine, drainSeconds } = options;
  const listener = await listen((request) => app.fetch(request), options.host, options.port);
  const signals = ["SIGTERM", "SIGINT"] as const;
  const hurry = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let stopping: Promise<void> | undefined;

  const stop = () => {
    if (stopping) hurry.resolve();
    stopping ??= drain(engine, drainSeconds * 1000, hurry.promise)
      .then(() => listener.close(CLOSE_MS))
      .finally(() => {
        for (const signal of signals) Deno.removeSignalListener(signal, stop);
        ended.resolve();
      });
    return stopping;
  };
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return { host: listener.host, port: listener.port, finished: ended.promise, stop };
}

/** Lets the engine finish. The listener stays open meanwhile, to say 503. */
async function drain(engine: Engine, graceMs: number, hurry: Promise<void>): Promise<void> {
  await Promise.race([engine.drain(graceMs), hurry.then(() => engine.drain(0))]);
}
