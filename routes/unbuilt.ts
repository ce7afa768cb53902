/** Fields that other servers honour and this one does not yet: refused by name, never ignored in silence. @module */
import type { z } from "@hono/zod-openapi";

/** Field name to the values that ask for nothing. */
export type UnbuiltFields = Readonly<Record<string, readonly unknown[]>>;

/** Unbuilt fields of chat and plain completions alike. */
const UNBUILT: UnbuiltFields = {
  n: [1],
  best_of: [1],
  prompt_logprobs: [],
  min_tokens: [0],
  skip_special_tokens: [true],
  include_stop_str_in_output: [false],
  truncate_prompt_tokens: [-1],
  use_beam_search: [false],
  grammar: [""],
  json_schema: [],
  guided_json: [],
  guided_regex: [],
  guided_choice: [],
  guided_grammar: [],
  structured_outputs: [],
  typical_p: [1],
  mirostat: [0],
  dry_multiplier: [0],
  xtc_probability: [0],
  top_n_sigma: [-1, 0],
  allowed_token_ids: [],
  bad_words: [],
  priority: [0],
};

/** Unbuilt fields of chat. */
export const UNBUILT_CHAT: UnbuiltFields = {
  ...UNBUILT,
  audio: [],
  chat_template: [],
  continue_final_message: [false],
  add_generation_prompt: [true],
  documents: [],
  echo: [false],
  function_call: ["none", "auto"],
  functions: [],
  mm_processor_kwargs: [],
  prediction: [],
  reasoning_budget: [-1],
  thinking_token_budget: [],
  web_search_options: [],
};

/** Unbuilt fields of plain completions. */
export const UNBUILT_COMPLETION: UnbuiltFields = { ...UNBUILT, suffix: [""] };

/** A check for a schema: any of `fields` with another value than those listed is an issue of its own. */
export function refuseUnbuilt(fields: UnbuiltFields) {
  return (body: Readonly<Record<string, unknown>>, context: z.core.$RefinementCtx): void => {
    for (const [field, harmless] of Object.entries(fields)) {
      const value = body[field];
      if (value === undefined || value === null || harmless.includes(value)) continue;
      if (Array.isArray(value) && value.length === 0) continue;
      context.addIssue({
        code: "custom",
        path: [field],
        message: harmless.length === 0
          ? "not supported by this server, leave it out"
          : `only ${
            harmless.map((one) => JSON.stringify(one)).join(" or ")
          } is supported by this server`,
      });
    }
  };
}

/** The names, for the OpenAPI document. */
export function unbuiltNames(fields: UnbuiltFields): string {
  return Object.keys(fields).map((name) => `\`${name}\``).join(", ");
}
