/** An engine of the test's own thread behind the messages that a worker would exchange. @module */
import type { OpenedEngine } from "../../runtime/open.ts";
import { unpackIds } from "../../runtime/packed_ids.ts";
import type { FromWorker, ToWorker } from "../../runtime/protocol.ts";
import type { WorkerPort } from "../../runtime/remote.ts";

/** Says "ready" when opened; messages arrive at once, so that nothing depends on the time of threads. */
export class LocalPort implements WorkerPort {
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null = null;
  onerror: ((event: ErrorEvent) => void) | null = null;
  readonly #engine: OpenedEngine;

  constructor(engine: OpenedEngine) {
    this.#engine = engine;
  }

  postMessage(message: ToWorker): void {
    const { core, info } = this.#engine;
    switch (message.type) {
      case "open":
        return queueMicrotask(() => this.#say({ type: "ready", info }));
      case "generate": {
        const { id, request: packed } = message;
        const request = { ...packed, tokens: unpackIds(packed.tokens) };
        return core.generate(id, request, {
          event: (event) => this.#say({ type: "event", id, event }),
          fail: ({ code, message }) => this.#say({ type: "fail", id, code, message }),
        });
      }
      case "taken":
        return core.take(message.id, message.taken);
      case "cancel":
        return core.cancel(message.id, message.taken);
      default:
        throw new TypeError(`Cannot handle "${message.type}": tests close the engine themselves`);
    }
  }

  terminate(): void {}

  #say(data: FromWorker): void {
    this.onmessage?.(new MessageEvent("message", { data }));
  }
}
