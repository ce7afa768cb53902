/** The text side as the HTTP thread sees it: what grows with a prompt is computed in a worker. @module */
import { packIds, unpackIds } from "../packed_ids.ts";
import { NoTokenizerError } from "./no_tokenizer.ts";
import { TextOutput } from "./output.ts";
import { TemplateError } from "./template.ts";
import type { EncodeOptions } from "./tokenizer.ts";
import type {
  FromTextWorker,
  PackedChat,
  SentError,
  TextJob,
  ToTextWorker,
} from "./text_protocol.ts";
import type {
  ChatMessage,
  EncodedChat,
  OutputOptions,
  OutputParser,
  RenderOptions,
} from "./types.ts";
import { type DecodeOptions, Vocabulary } from "./vocabulary.ts";

/** A tokenizer or a template that cannot be used. */
export class TextError extends Error {
  override name = "TextError";
}

/** The part of `Worker` that is used; tests give their own. */
export interface TextPort {
  postMessage(message: ToTextWorker): void;
  terminate(): void;
  onmessage: ((event: MessageEvent<FromTextWorker>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

type Opened = Extract<FromTextWorker, { type: "opened" }>;

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Renders and encodes in a worker, and reads outputs on the spot. The requests take turns there. A signal ends the work
 * for its request, whose promise then rejects with the signal's reason.
 */
export class RemoteText {
  /** The snapshot's vocabulary, without what encoding takes. */
  readonly vocabulary: Vocabulary;
  /** Whether the snapshot has a chat template; without one it serves completions only. */
  readonly hasTemplate: boolean;
  /** Resolves when the worker has stopped by itself: nothing is encoded any more. */
  readonly broken: Promise<TextError>;
  readonly #worker: TextPort;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  private constructor({ vocabulary, hasTemplate }: Opened, worker: TextPort) {
    this.vocabulary = new Vocabulary(vocabulary);
    this.hasTemplate = hasTemplate;
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#receive(data);
    this.broken = stopOf(worker);
    void this.broken.then((error) => {
      for (const { reject } of this.#waiting.values()) reject(error);
    });
  }

  /**
   * Reads a snapshot folder; one without a tokenizer serves token ids only.
   * @throws {TextError} if a file of it is malformed
   */
  static async open(folder: string, spawn = spawnWorker): Promise<RemoteText> {
    const worker = spawn();
    const opened = new Promise<Opened>((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        if (data.type === "opened") resolve(data);
        if (data.type === "broken") reject(new TextError(data.error.message));
      };
      void stopOf(worker).then(reject);
    });
    worker.postMessage({ type: "open", folder });
    try {
      return new RemoteText(await opened, worker);
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** A conversation as token ids. @throws {TemplateError} if the template refuses the messages */
  async encodeChat(
    messages: readonly ChatMessage[],
    options: RenderOptions = {},
    signal?: AbortSignal,
  ): Promise<EncodedChat> {
    const packed = await this.#ask<PackedChat>({ kind: "chat", messages, options }, signal);
    return { ...packed, ids: unpackIds(packed.ids) };
  }

  /** Token ids of a text, without any BOS or EOS. @throws {NoTokenizerError} without a tokenizer */
  async encode(text: string, options: EncodeOptions, signal?: AbortSignal): Promise<number[]> {
    return unpackIds(await this.#ask<Float64Array>({ kind: "encode", text, ...options }, signal));
  }

  /** The text of ids; incomplete UTF-8 becomes U+FFFD, unknown ids nothing. */
  decode(ids: readonly number[], options: DecodeOptions, signal?: AbortSignal): Promise<string> {
    return this.#ask<string>({ kind: "decode", ids: packIds(ids), ...options }, signal);
  }

  /** A parser for one output of the model. */
  createOutput(options: OutputOptions): OutputParser {
    return new TextOutput(this.vocabulary, options);
  }

  /** Ends the worker. What it was asked for is not answered. */
  close(): void {
    this.#worker.terminate();
  }

  async #ask<Result>(job: TextJob, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const abort = () => {
      this.#worker.postMessage({ type: "cancel", id });
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    this.#waiting.set(id, { resolve, reject });
    this.#worker.postMessage({ type: "start", id, job });
    try {
      return await promise as Result;
    } finally {
      this.#waiting.delete(id);
      signal?.removeEventListener("abort", abort);
    }
  }

  #receive(message: FromTextWorker): void {
    if (message.type === "done") this.#waiting.get(message.id)?.resolve(message.result);
    if (message.type === "fail") this.#waiting.get(message.id)?.reject(received(message.error));
  }
}

/** Gives an error its class back, where somebody asks for it. */
function received({ name, message }: SentError): Error {
  switch (name) {
    case "TemplateError":
      return new TemplateError(message);
    case "NoTokenizerError":
      return new NoTokenizerError(message);
    default:
      return new TextError(message);
  }
}

function stopOf(worker: TextPort): Promise<TextError> {
  return new Promise((resolve) => {
    worker.onerror = (event) => {
      event.preventDefault();
      resolve(new TextError(`The text worker stopped: ${event.message}`));
    };
  });
}

function spawnWorker(): TextPort {
  return new Worker(new URL("./text_worker.ts", import.meta.url), { type: "module", name: "text" });
}
