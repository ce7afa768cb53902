/** API keys, and who owns what a request leaves in the state cache. @module */
import { createHash, timingSafeEqual } from "node:crypto";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { RequestError } from "./errors.ts";

/** Paths that probes must reach without a key. */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz", "/ping"]);

/**
 * Demands one of `keys` as `Authorization: Bearer KEY` or `X-Api-Key: KEY` on every path but the probes'.
 * Keys are compared as digests, each of them always, so that the time taken tells nothing.
 */
export function apiKeys(keys: readonly string[]): MiddlewareHandler {
  const digests = keys.map(digest);
  return async function apiKeys(c, next) {
    if (OPEN_PATHS.has(c.req.path)) return await next();
    const given = presentedKey(c);
    const presented = digest(given ?? "");
    let known = false;
    for (const wanted of digests) known = timingSafeEqual(wanted, presented) || known;
    if (given === undefined || !known) throw refusal(given);
    c.set("keyHash", presented.toString("hex").slice(0, 32));
    await next();
  };
}

/** Adds to the API's description how keys are sent; returns the ways, of which one is needed. */
export function describeKeys(app: OpenAPIHono): Record<string, string[]>[] {
  const registry = app.openAPIRegistry;
  registry.registerComponent("securitySchemes", "Bearer", { type: "http", scheme: "bearer" });
  registry.registerComponent("securitySchemes", "Header", {
    type: "apiKey",
    in: "header",
    name: "X-Api-Key",
  });
  return [{ Bearer: [] }, { Header: [] }];
}

/** The owner of cached state: the key's hash and the request's own salt; requests of other owners share none. */
export function ownerOf(c: Context, cacheSalt: string | null | undefined): string {
  const keyHash: string = c.get("keyHash") ?? "";
  return cacheSalt ? `${keyHash}/${cacheSalt}` : keyHash;
}

function presentedKey(c: Context): string | undefined {
  const bearer = /^Bearer +(.+)$/i.exec(c.req.header("authorization") ?? "");
  return bearer?.[1]?.trim() ?? c.req.header("x-api-key");
}

function digest(key: string): Uint8Array & { toString(encoding: "hex"): string } {
  return createHash("sha256").update(key).digest();
}

function refusal(given: string | undefined): RequestError {
  const message = given === undefined
    ? "Cannot authenticate: send the key as Authorization: Bearer KEY or as X-Api-Key"
    : "Cannot authenticate: the API key is not known";
  return new RequestError(401, message, {
    code: "invalid_api_key",
    headers: { "www-authenticate": "Bearer" },
  });
}
