/** Text in and out of the model: tokenizer, chat template, and parsers of the output. @module */
export * from "./types.ts";
