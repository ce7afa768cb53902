/** The engine as the HTTP thread sees it: a worker that owns the GPU, restarted when its device is lost. @module */
import {
  type Counters,
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineStatus,
  type GenerateRequest,
  type ModelInfo,
} from "./contract.ts";
import { EventQueue } from "./event_queue.ts";
import type { EngineOptions } from "./options.ts";
import { packIds } from "./packed_ids.ts";
import type { FromWorker, ToWorker } from "./protocol.ts";

/** The part of `Worker` that is used; tests give their own. */
export interface WorkerPort {
  postMessage(message: ToWorker): void;
  terminate(): void;
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

/** How often a lost device is opened again, in a row, before giving up. */
const MAX_RESTARTS = 3;

/** Why the engine cannot be opened, or not again. */
export class EngineBroken extends Error {
  override name = "EngineBroken";
  constructor(message: string, readonly exitCode: number) {
    super(message);
  }
}

/** Drives the engine in a worker. */
export class RemoteEngine implements Engine {
  readonly ready: Promise<ModelInfo>;
  /** Resolves when the snapshot's structure is known to be sound. */
  readonly checked: Promise<void>;
  /** Resolves when the engine has failed for good. */
  readonly broken: Promise<EngineBroken>;
  readonly #options: EngineOptions;
  readonly #spawn: () => WorkerPort;
  readonly #streams = new Map<number, EventQueue<EngineEvent>>();
  readonly #replies = new Map<number, (message: FromWorker) => void>();
  #worker: WorkerPort;
  #status: EngineStatus = { state: "loading", phase: "start", done: 0, total: 1 };
  #settleReady!: { resolve(info: ModelInfo): void; reject(error: Error): void };
  #settleChecked!: () => void;
  #settleBroken!: (error: EngineBroken) => void;
  #nextId = 1;
  #restarts = 0;
  #losses = 0;
  #draining = false;

  constructor(options: EngineOptions, spawn: () => WorkerPort = spawnWorker) {
    this.#options = options;
    this.#spawn = spawn;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.ready.catch(() => {}); // whoever awaits it sees the error; nobody has to
    this.checked = new Promise((resolve) => {
      this.#settleChecked = resolve;
    });
    this.broken = new Promise((resolve) => {
      this.#settleBroken = resolve;
    });
    this.#worker = this.#open();
  }

  status(): EngineStatus {
    return this.#draining && this.#status.state === "ready" ? { state: "draining" } : this.#status;
  }

  /** Generations that events are still awaited for. */
  get openStreams(): number {
    return this.#streams.size;
  }

  async counters(): Promise<Counters> {
    const none = { running: 0, waiting: 0, kvUsage: 0, values: {} };
    if (this.#status.state !== "ready") return none;
    const message = await this.#ask((id) => ({ type: "counters", id }));
    if (message.type !== "counters") return none; // the device was lost meanwhile
    const { values, ...load } = message.counters;
    return { ...load, values: { ...values, deviceLosses: this.#losses } };
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent> {
    if (this.#draining) throw new EngineError("shutdown", "The server is shutting down");
    if (this.#status.state !== "ready") {
      throw new EngineError("not_ready", "The model is still loading");
    }
    if (signal?.aborted) return;
    const id = this.#nextId++;
    const queue = new EventQueue<EngineEvent>();
    this.#streams.set(id, queue);
    let taken = 0;
    // Told at once, not when the reader comes back: it may never.
    const cancel = () => this.#worker.postMessage({ type: "cancel", id, taken });
    const abort = () => {
      cancel();
      this.#end(id);
    };
    signal?.addEventListener("abort", abort, { once: true });
    const packed = { ...request, tokens: packIds(request.tokens) };
    this.#worker.postMessage({ type: "generate", id, request: packed });
    let finished = false;
    try {
      for await (const event of queue) {
        if (signal?.aborted) return;
        finished = event.type === "done";
        if (event.type === "token") taken++;
        yield event;
        if (request.watched && event.type === "token" && queue.isEmpty) {
          this.#worker.postMessage({ type: "taken", id, taken });
        }
      }
    } catch (error) {
      finished = true;
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#end(id);
      if (!finished && !signal?.aborted) cancel();
    }
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    if (this.#status.state === "ready") await this.#ask((id) => ({ type: "drain", id, graceMs }));
  }

  async close(): Promise<void> {
    if (this.#status.state === "ready") await this.#ask((id) => ({ type: "close", id }));
    this.#worker.terminate();
  }

  #open(): WorkerPort {
    const worker = this.#spawn();
    // What a worker said before it was given up may arrive after the next one was opened.
    worker.onmessage = ({ data }) => {
      if (worker === this.#worker) this.#receive(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#lost(`The engine's worker stopped: ${event.message}`);
    };
    worker.postMessage({ type: "open", options: this.#options });
    return worker;
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "status":
        this.#status = message.status;
        return;
      case "checked":
        return this.#settleChecked();
      case "ready":
        this.#status = { state: "ready" };
        return this.#settleReady.resolve(message.info);
      case "event":
        this.#streams.get(message.id)?.push(message.event);
        if (message.event.type === "done") {
          this.#restarts = 0; // it works: only losses in a row count
          this.#end(message.id);
        }
        return;
      case "fail":
        return this.#end(message.id, new EngineError(message.code, message.message));
      case "lost":
        return this.#lost(message.message);
      case "broken":
        return this.#break(message.message, message.exitCode);
      case "counters":
      case "done":
        this.#replies.get(message.id)?.(message);
        this.#replies.delete(message.id);
    }
  }

  /** Whoever reads the stream still gets what has come; nobody has to. */
  #end(id: number, error?: EngineError): void {
    this.#streams.get(id)?.end(error);
    this.#streams.delete(id);
  }

  /** Ends all streams and opens a new worker, unless that was tried too often. */
  #lost(message: string): void {
    if (this.#status.state === "failed") return;
    this.#losses++;
    this.#endAll(new EngineError("device_lost", message));
    this.#worker.terminate();
    if (this.#draining || ++this.#restarts > MAX_RESTARTS) return this.#break(message, 1);
    this.#status = { state: "loading", phase: `restart ${this.#restarts}`, done: 0, total: 1 };
    this.#worker = this.#open();
  }

  #break(message: string, exitCode: number): void {
    const error = new EngineBroken(message, exitCode);
    this.#status = { state: "failed", message };
    this.#endAll(new EngineError("device_lost", message));
    this.#settleReady.reject(error);
    this.#settleBroken(error);
  }

  #endAll(error: EngineError): void {
    for (const stream of this.#streams.values()) stream.end(error);
    this.#streams.clear();
    for (const [id, reply] of this.#replies) reply({ type: "done", id });
    this.#replies.clear();
  }

  #ask(message: (id: number) => ToWorker): Promise<FromWorker> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#replies.set(id, resolve);
      this.#worker.postMessage(message(id));
    });
  }
}

function spawnWorker(): WorkerPort {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "engine" });
}
