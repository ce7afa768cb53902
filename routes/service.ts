/** What every route works with: the engine, the text side, and the options of the app. @module */
import type {
  ChatMessage,
  EncodedChat,
  Engine,
  ModelInfo,
  OutputOptions,
  OutputParser,
  Planner,
  RenderOptions,
  SamplingOptions,
} from "../runtime/mod.ts";
import type { Admission } from "./admission.ts";
import type { Metrics } from "./metrics.ts";
import { RequestError } from "./errors.ts";

/** What token ids stand for, as far as routes need it. */
export interface Tokens {
  /** Ids from here on have no text. */
  readonly size: number;
  /** The bytes that one id stands for; they need not be whole characters. */
  pieceBytes(id: number): Uint8Array;
  idOf(token: string): number | null | undefined;
}

/**
 * The text side of the model, as far as routes need it. What takes longer the longer a prompt is comes as a promise,
 * which rejects with the signal's reason once it is aborted.
 */
export interface Text {
  readonly vocabulary: Tokens;
  /** Without a chat template there is no chat. */
  readonly hasTemplate: boolean;
  encodeChat(
    messages: readonly ChatMessage[],
    options: RenderOptions,
    signal?: AbortSignal,
  ): Promise<EncodedChat>;
  /** `special`: whether special tokens written out in `text` become their ids. */
  encode(text: string, options: { special: boolean }, signal?: AbortSignal): Promise<number[]>;
  decode(
    ids: readonly number[],
    options: { skipSpecial: boolean },
    signal?: AbortSignal,
  ): Promise<string>;
  createOutput(options: OutputOptions): OutputParser;
}

/** What applies where a request is silent. */
export type SamplingDefaults = Pick<
  SamplingOptions,
  "temperature" | "topP" | "topK" | "minP" | "presencePenalty" | "repetitionPenalty"
>;

/** Options of the HTTP side. */
export interface AppOptions {
  /** The served model's name. */
  readonly modelId: string;
  /** Ids that end every answer: the snapshot's own. */
  readonly stopIds: readonly number[];
  /** Sampling where a request is silent: chat with thinking, chat without, plain completions. */
  readonly defaults: {
    readonly thinking: SamplingDefaults;
    readonly instruct: SamplingDefaults;
    readonly completion: SamplingDefaults;
  };
  /** Most requests in progress, running and waiting; the next one gets 429. */
  readonly maxQueue: number;
  /** Without keys everybody may ask. */
  readonly apiKeys?: readonly string[];
  /** Origins that browsers may call from, "*" for any; CORS is off without. */
  readonly corsOrigins?: readonly string[];
  /** Longest request body; default 4 MiB. */
  readonly maxBodyBytes?: number;
  /** Silence after which a stream sends a comment; default 5 s. */
  readonly keepAliveMs?: number;
  /** Longest time an answer may take; default 30 min. */
  readonly maxAnswerMs?: number;
  /** Answers /v1/plan; without it there is no such path. */
  readonly planner?: Pick<Planner, "answer">;
}

/** The parts that routes share. */
export interface Service {
  readonly engine: Engine;
  readonly text: Text;
  readonly options: AppOptions;
  readonly admission: Admission;
  readonly metrics: Metrics;
}

/**
 * The model, once it can answer.
 * @throws {RequestError} 503 while it loads, when it is going down, and when it failed.
 */
export async function readyModel({ engine }: Service): Promise<ModelInfo> {
  const status = engine.status();
  switch (status.state) {
    case "ready":
      return await engine.ready;
    case "loading":
      throw unavailable("Loading model", "not_ready", 2);
    case "draining":
      throw unavailable("The server is shutting down", "shutdown", 5);
    case "failed":
      throw unavailable(`The engine has failed: ${status.message}`, "device_lost", 30);
    default:
      return status satisfies never;
  }
}

function unavailable(message: string, code: string, retryAfterSeconds: number): RequestError {
  return new RequestError(503, message, { code, retryAfterSeconds });
}
