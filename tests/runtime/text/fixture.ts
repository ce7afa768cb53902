/** The small tokenizer of tests/golden/text, and ways to look at an output. @module */
import { ChatTemplate, type OutputEvent, TextModel, Tokenizer } from "../../../runtime/text/mod.ts";
import type { OutputOptions } from "../../../runtime/text/mod.ts";
import { TextOutput } from "../../../runtime/text/output.ts";

export const GOLDEN = new URL("../../golden/text/", import.meta.url).pathname;

/** Reads one of the golden files. */
export function golden<T>(name: string): T {
  return JSON.parse(Deno.readTextFileSync(GOLDEN + name));
}

export const tokenizer: Tokenizer = new Tokenizer(golden("tokenizer.json"));
export const template: ChatTemplate = new ChatTemplate(
  Deno.readTextFileSync(`${GOLDEN}chat_template.jinja`),
  tokenizer,
);
export const model: TextModel = new TextModel(tokenizer, template);

/** An id of a token that the fixture has. */
export function id(token: string): number {
  const found = tokenizer.idOf(token);
  if (found === undefined) throw new Error(`The fixture has no token "${token}"`);
  return found;
}

/** All that came out of one output. */
export interface Answer {
  readonly reasoning: string;
  readonly content: string;
  readonly calls: readonly {
    readonly name: string;
    readonly args: string;
    readonly ended: boolean;
  }[];
  readonly stopped: string | null;
  readonly cutOff: boolean;
}

/** Parses ids one by one. */
export function parse(ids: readonly number[], options: OutputOptions): Answer {
  const output = new TextOutput(tokenizer, options, () => "call_0");
  const events = [...ids.flatMap((id) => output.push(id)), ...output.finish()];
  return { ...collect(events), stopped: output.stopped, cutOff: output.cutOff };
}

/** Parses text as the tokenizer would encode it. */
export function parseText(text: string, options: Partial<OutputOptions> = {}): Answer {
  const ids = tokenizer.encode(text, { special: true });
  return parse(ids, { thinking: false, parseTools: true, ...options });
}

/** Puts a stream together the way a client does. Throws if events come in a wrong order. */
export function collect(
  events: readonly OutputEvent[],
): Pick<Answer, "reasoning" | "content" | "calls"> {
  let [reasoning, content] = ["", ""];
  const calls: { name: string; args: string; ended: boolean }[] = [];
  for (const event of events) {
    if (event.type === "reasoning") reasoning += event.text;
    else if (event.type === "content") content += event.text;
    else if (event.type === "tool_start") {
      if (event.index !== calls.length) throw new Error(`Call ${event.index} came out of order`);
      calls.push({ name: event.name, args: "", ended: false });
    } else {
      const call = calls[event.index];
      if (call === undefined || call.ended) throw new Error(`Call ${event.index} is not open`);
      if (event.type === "tool_end") call.ended = true;
      else call.args += event.text;
    }
  }
  return { reasoning, content, calls };
}
