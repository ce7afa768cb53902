import { promptBorders } from "./prompt_borders.ts";
import { TextOutput } from "./output.ts";
import { NoTokenizer } from "./no_tokenizer.ts";
import { finish, type Steps } from "./steps.ts";
import { ChatTemplate } from "./template.ts";
import { Tokenizer } from "./tokenizer.ts";
import type {
  ChatMessage,
  EncodedChat,
  OutputOptions,
  OutputParser,
  RenderOptions,
} from "./types.ts";

/** Everything a snapshot says about text: its tokenizer and its chat template. */
export class TextModel {
  /** The snapshot's tokenizer. */
  readonly tokenizer: Tokenizer;
  /** The snapshot's chat template; null: it serves completions only. */
  readonly template: ChatTemplate | null;

  constructor(tokenizer: Tokenizer, template: ChatTemplate | null) {
    this.tokenizer = tokenizer;
    this.template = template;
  }

  /**
   * Reads a snapshot folder; one without a tokenizer serves token ids only.
   * @throws {TypeError | SyntaxError} if a file of it is malformed.
   */
  static async load(dir: string): Promise<TextModel> {
    if (!await exists(`${dir}/tokenizer.json`)) return new TextModel(new NoTokenizer(), null);
    const tokenizer = await Tokenizer.load(dir);
    return new TextModel(tokenizer, await ChatTemplate.load(dir, tokenizer));
  }

  /**
   * A conversation as token ids.
   * @throws {TemplateError} if the template refuses the messages.
   * @throws {TypeError} if there is no template.
   */
  encodeChat(messages: readonly ChatMessage[], options: RenderOptions = {}): EncodedChat {
    return finish(this.encodeChatSteps(messages, options));
  }

  /** The same in steps; rendering is one of them. */
  *encodeChatSteps(
    messages: readonly ChatMessage[],
    options: RenderOptions = {},
  ): Steps<EncodedChat> {
    if (this.template === null) throw new TypeError("Cannot chat: the model has no chat template");
    const pieces = this.template.render(messages, options);
    const encoded: { readonly text: string; readonly ids: readonly number[] }[] = [];
    for (const piece of pieces) {
      encoded.push(
        "special" in piece
          ? {
            text: this.tokenizer.decode([piece.special], { skipSpecial: false }),
            ids: [piece.special],
          }
          : {
            text: piece.text,
            ids: yield* this.tokenizer.encodeSteps(piece.text, { special: false }),
          },
      );
    }
    return {
      ids: encoded.flatMap(({ ids }) => ids),
      prompt: encoded.map(({ text }) => text).join(""),
      ...promptBorders(pieces, encoded.map(({ ids }) => ids.length), this.tokenizer),
    };
  }

  /** A parser for one output of the model. */
  createOutput(options: OutputOptions): OutputParser {
    return new TextOutput(this.tokenizer, options);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
