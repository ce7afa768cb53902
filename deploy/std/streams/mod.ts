/**
 * The part of `@std/streams` that this project uses, for machines that cannot reach JSR. Signatures are
 * those of the real package; see `links` in deno.json.
 * @module
 */
export * from "./to_transform_stream.ts";
export * from "./text_line_stream.ts";
