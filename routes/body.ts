/** What a body has to be before it is read as JSON. @module */
import type { MiddlewareHandler } from "hono";
import { RequestError } from "./errors.ts";

/**
 * Refuses bytes that are no UTF-8. They would be read as replacement characters, and an answer be given to what nobody
 * asked.
 */
export function utf8Bodies(): MiddlewareHandler {
  return async function utf8Bodies(c, next) {
    if (c.req.raw.body !== null && !isUtf8(await c.req.arrayBuffer())) {
      throw new RequestError(400, "Cannot read the body: it is not UTF-8");
    }
    await next();
  };
}

function isUtf8(bytes: ArrayBuffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
