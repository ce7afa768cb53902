/** Reads the type of a tool's parameter from its JSON schema, and types the text a model wrote. @module */
import type { ToolDefinition } from "./types.ts";

type Schema = Readonly<Record<string, unknown>>;

/** The declared parameters of each tool: parameter name to JSON types; no types means text. */
export type ToolSchemas = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

/** Collects the parameters' types of all tools. Malformed schemas count as undeclared. */
export function toolSchemas(tools: readonly ToolDefinition[]): ToolSchemas {
  return new Map(tools.map(({ function: { name, parameters } }) => {
    const root = asSchema(parameters);
    const properties = Object.entries(asSchema(root.properties));
    return [name, new Map(properties.map(([key, value]) => [key, typesOf(value, root, 0)]))];
  }));
}

/** Whether a parameter's text is taken as it is, so that it can be passed on before it is complete. */
export function isText(types: ReadonlySet<string> | undefined): boolean {
  return types === undefined || types.size === 0 || (types.size === 1 && types.has("string"));
}

/** The JSON text of a parameter that is not plain text; what does not fit its type becomes a string. */
export function typedJson(text: string, types: ReadonlySet<string>): string {
  const value = text.trim();
  const lower = value.toLowerCase();
  if (lower === "null") return "null";
  if (types.has("integer") || types.has("number")) {
    const number = numberJson(value);
    if (number !== null) return number;
  }
  if (types.has("boolean") && (lower === "true" || lower === "false")) return lower;
  if (types.has("object") || types.has("array")) {
    const json = containerJson(value);
    if (json !== null) return json;
  }
  return types.size === 1 && types.has("boolean") ? "false" : JSON.stringify(text);
}

// A number that is JSON already keeps its digits: an id may be longer than a double is exact.
function numberJson(value: string): string | null {
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(value)) return value;
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value) && Number.isFinite(Number(value))
    ? JSON.stringify(Number(value))
    : null;
}

function containerJson(value: string): string | null {
  try {
    JSON.parse(value);
    return value;
  } catch {
    return null;
  }
}

function typesOf(value: unknown, root: Schema, depth: number): Set<string> {
  const schema = asSchema(value);
  // Deep enough for any real schema, and an end to one that refers to itself.
  if (depth > 8) return new Set();
  const types = new Set([schema.type].flat().filter((type) => typeof type === "string"));
  const choices = [schema.anyOf, schema.oneOf, schema.allOf].flat();
  for (const choice of choices.filter((choice) => choice !== undefined)) {
    for (const type of typesOf(choice, root, depth + 1)) types.add(type);
  }
  if (typeof schema.$ref === "string") {
    for (const type of typesOf(resolve(schema.$ref, root), root, depth + 1)) types.add(type);
  }
  if (types.size > 0) return types;
  if (schema.properties !== undefined) return new Set(["object"]);
  if (schema.items !== undefined) return new Set(["array"]);
  const values = "const" in schema ? [schema.const] : Array.isArray(schema.enum) ? schema.enum : [];
  return new Set(values.map(typeOfValue));
}

function typeOfValue(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function resolve(reference: string, root: Schema): unknown {
  if (!reference.startsWith("#/")) return undefined;
  const keys = reference.slice(2).split("/").map((key) =>
    key.replaceAll("~1", "/").replaceAll("~0", "~")
  );
  return keys.reduce<unknown>((value, key) => asSchema(value)[key], root);
}

function asSchema(value: unknown): Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Schema
    : {};
}
