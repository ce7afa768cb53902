import { Template } from "@huggingface/jinja";
import { pythonJson, pythonString, pythonStrip } from "./python_text.ts";

/** A syntax node of the template library; only what the rewriting looks at. */
interface Node {
  type: string;
  value?: unknown;
  operand?: Node;
  filter?: Node;
  callee?: Node;
  args?: Node[];
  object?: Node;
  property?: Node;
  computed?: boolean;
}

const FILTERS: Readonly<Record<string, string>> = {
  string: "__python_string",
  tojson: "__python_json",
  trim: "__python_strip",
};
const METHODS: Readonly<Record<string, string>> = {
  strip: "__python_strip",
  lstrip: "__python_lstrip",
  rstrip: "__python_rstrip",
};
const FUNCTIONS = {
  __python_string: pythonString,
  __python_json: pythonJson,
  __python_strip: (text: unknown, chars?: unknown) => strip(text, "both", chars),
  __python_lstrip: (text: unknown, chars?: unknown) => strip(text, "left", chars),
  __python_rstrip: (text: unknown, chars?: unknown) => strip(text, "right", chars),
};

/**
 * A Jinja template that prints like Python's. The library differs in five places: its `string` filter
 * prints `true` for `True`, its `tojson` prints `1` for `1.0`, its `trim` and `strip` remove U+FEFF
 * and leave U+0085, and its `lstrip` and `rstrip` ignore which characters they are given. Those nodes
 * of the parsed template are replaced by calls of functions of our own.
 */
export class PythonTemplate {
  readonly #template: Template;

  /** Parses a template. @throws {SyntaxError} if it is malformed. */
  constructor(source: string) {
    try {
      this.#template = new Template(source);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new SyntaxError(`Cannot parse chat template: ${reason}`, { cause: error });
    }
    rewrite(this.#template.parsed as unknown as Node);
  }

  /** The rendered text. @throws {Error} what the template raises. */
  render(variables: Readonly<Record<string, unknown>>): string {
    return this.#template.render({ ...variables, ...FUNCTIONS });
  }
}

function rewrite(node: Node): void {
  for (const child of Object.values(node)) {
    for (const item of Array.isArray(child) ? child : [child]) {
      if (typeof item?.type === "string") rewrite(item);
    }
  }
  const filter = node.type === "FilterExpression" && node.filter?.type === "Identifier"
    ? FILTERS[String(node.filter.value)]
    : undefined;
  if (filter && node.operand) return becomeCall(node, filter, [node.operand]);
  const { callee, args = [] } = node;
  const method = node.type === "CallExpression" && callee?.type === "MemberExpression" &&
      !callee.computed
    ? METHODS[String(callee.property?.value)]
    : undefined;
  if (method && callee?.object) becomeCall(node, method, [callee.object, ...args]);
}

function becomeCall(node: Node, name: string, args: Node[]): void {
  node.type = "CallExpression";
  node.callee = { type: "Identifier", value: name };
  node.args = args;
}

function strip(text: unknown, side: "both" | "left" | "right", chars: unknown): string {
  if (typeof text !== "string") throw new TypeError("Cannot strip a value that is not a string");
  return pythonStrip(text, side, typeof chars === "string" ? chars : undefined);
}
