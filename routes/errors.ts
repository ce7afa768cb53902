/** Everything that goes wrong on the way to an answer, as status and JSON in OpenAI's shape. @module */
import type { ErrorHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { EngineError, type EngineErrorCode, NoTokenizerError } from "../runtime/mod.ts";

/** What an error carries beside its message. */
export interface ErrorDetails {
  /** The machine-readable kind; else it follows from the status. */
  readonly type?: string;
  readonly code?: string;
  /** The field at fault. */
  readonly param?: string;
  /** Seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the error object. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** A request that cannot be answered, and the status that says why. */
export class RequestError extends Error {
  override name = "RequestError";
  constructor(
    readonly status: number,
    message: string,
    readonly details: ErrorDetails = {},
  ) {
    super(message);
  }
}

/** The body of an error answer, and of an error chunk in mid-stream. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
    readonly [key: string]: unknown;
  };
}

/** A prompt longer than the context, in the words that agents of either tradition look for. */
export function contextLengthError(
  promptTokens: number,
  contextLength: number,
  field?: string,
): RequestError {
  return new RequestError(
    400,
    `This model's maximum context length is ${contextLength} tokens, but the prompt has ` +
      `${promptTokens}: the request exceeds the available context size, shorten the prompt`,
    {
      code: "context_length_exceeded",
      ...(field === undefined ? {} : { param: field }),
      extra: { n_prompt_tokens: promptTokens, n_ctx: contextLength },
    },
  );
}

/** The error object for the wire. */
export function errorBody(error: RequestError): ErrorBody {
  const { type, param, code, extra } = error.details;
  return {
    error: {
      message: error.message,
      type: type ?? typeOf(error.status),
      param: param ?? null,
      code: code ?? null,
      ...extra,
    },
  };
}

/** Any thrown value as a RequestError; what is not foreseen becomes a 500 that tells only the request id. */
export function toRequestError(error: unknown, requestId: string): RequestError {
  if (error instanceof RequestError) return error;
  if (error instanceof NoTokenizerError) return new RequestError(400, error.message);
  if (error instanceof EngineError) return ofEngine(error, requestId);
  if (error instanceof HTTPException) return ofHono(error);
  if (error instanceof DOMException && error.name === "AbortError") {
    return new RequestError(499, "The client went away", { type: "aborted" });
  }
  log(requestId, error instanceof Error ? error.stack ?? error.message : String(error));
  return new RequestError(500, `Internal error, see the server's log for request ${requestId}`);
}

/** Hono's handler of last resort. */
export const onError: ErrorHandler = (thrown, c) => {
  const error = toRequestError(thrown, c.get("requestId"));
  const { retryAfterSeconds, headers } = error.details;
  if (retryAfterSeconds !== undefined) {
    c.header("retry-after", String(Math.ceil(retryAfterSeconds)));
    c.header("retry-after-ms", String(Math.round(retryAfterSeconds * 1000)));
  }
  for (const [name, value] of Object.entries(headers ?? {})) c.header(name, value);
  return c.json(errorBody(error), error.status as 400);
};

const ENGINE_ERRORS: Readonly<
  Record<EngineErrorCode, { status: number; retryAfterSeconds?: number }>
> = {
  overloaded: { status: 429, retryAfterSeconds: 2 },
  not_ready: { status: 503, retryAfterSeconds: 2 },
  shutdown: { status: 503, retryAfterSeconds: 5 },
  device_lost: { status: 503, retryAfterSeconds: 5 },
  context_length: { status: 400 },
  weights: { status: 500 },
  internal: { status: 500 },
};

function ofEngine(error: EngineError, requestId: string): RequestError {
  const { status, retryAfterSeconds } = ENGINE_ERRORS[error.code];
  if (status === 500) log(requestId, error.message);
  const message = status === 500 ? `${error.message} (request ${requestId})` : error.message;
  return new RequestError(status, message, {
    code: error.code === "context_length" ? "context_length_exceeded" : error.code,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

/** What the library refuses by itself. */
const HONO_MESSAGES: Readonly<Record<number, string>> = {
  400: "Cannot read the body: it is not JSON",
  415: "Cannot read the body: send JSON, with the header content-type: application/json",
};

function ofHono({ status, message }: HTTPException): RequestError {
  return new RequestError(status, HONO_MESSAGES[status] ?? (message || "Cannot read the request"));
}

/** One line of JSON on stderr; never what a caller wrote. */
function log(requestId: string, error: string): void {
  console.error(JSON.stringify({ level: "error", request_id: requestId, error }));
}

function typeOf(status: number): string {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}
