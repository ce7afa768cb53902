/** Text in and out of the model: tokenizer, chat template, and parsers of the output. @module */
export { NoTokenizerError } from "./no_tokenizer.ts";
export { ChatTemplate, type PromptPiece, TemplateError } from "./template.ts";
export { TextModel } from "./text_model.ts";
export { RemoteText, TextError } from "./remote_text.ts";
export { Tokenizer } from "./tokenizer.ts";
export * from "./types.ts";
export { type AddedToken, Vocabulary } from "./vocabulary.ts";
