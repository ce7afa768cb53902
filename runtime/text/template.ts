import { templateMessages } from "./messages.ts";
import { PythonTemplate } from "./python_jinja.ts";
import { SpecialText } from "./special_text.ts";
import type { Vocabulary } from "./vocabulary.ts";
import type { ChatMessage, RenderOptions } from "./types.ts";

/** A stretch of a rendered prompt: text that is encoded as it stands, or one special token. */
export type PromptPiece = { readonly text: string } | { readonly special: number };

/** Messages that a template refuses; the caller's fault. */
export class TemplateError extends Error {
  override name = "TemplateError";
}

/** Renders conversations with a snapshot's own chat template. */
export class ChatTemplate {
  readonly #template: PythonTemplate;
  readonly #tokens: { readonly bos_token: string; readonly eos_token: string };
  readonly #vocabulary: Vocabulary;
  readonly #control: SpecialText;
  readonly #markup: SpecialText;

  /** @throws {SyntaxError} if the template is malformed. */
  constructor(
    source: string,
    vocabulary: Vocabulary,
    config: Readonly<Record<string, unknown>> = {},
  ) {
    this.#template = new PythonTemplate(source);
    this.#vocabulary = vocabulary;
    this.#tokens = {
      bos_token: tokenText(config.bos_token),
      eos_token: tokenText(config.eos_token),
    };
    const added = [...vocabulary.added.values()];
    const all = added.map(({ content }) => content);
    this.#control = new SpecialText(all);
    this.#markup = new SpecialText(
      all,
      added.filter(({ special }) => special).map(({ content }) => content),
    );
  }

  /**
   * Reads `chat_template.jinja`, else the `chat_template` field of `tokenizer_config.json`; null if a
   * snapshot folder has neither. @throws {SyntaxError} if the template or the file is malformed.
   */
  static async load(dir: string, vocabulary: Vocabulary): Promise<ChatTemplate | null> {
    const configText = await readIfThere(`${dir}/tokenizer_config.json`);
    const config = configText === null ? {} : parseConfig(configText, dir);
    const source = await readIfThere(`${dir}/chat_template.jinja`) ?? config.chat_template;
    if (typeof source !== "string") return null;
    try {
      return new ChatTemplate(source, vocabulary, config);
    } catch (error) {
      throw new SyntaxError(
        `Cannot load "${dir}": its chat template is damaged, download it again (${
          (error as Error).message
        })`,
        { cause: error },
      );
    }
  }

  /**
   * The prompt of a conversation, cut at the template's special tokens. What a caller wrote is in the
   * text pieces, and stays text there. @throws {TemplateError} if the template refuses the messages.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): PromptPiece[] {
    const { tools, enableThinking, addGenerationPrompt = true, variables } = options;
    const rendered = this.#renderEscaped({
      ...this.#control.escapeDeep(variables ?? {}) as Record<string, unknown>,
      ...this.#tokens,
      messages: templateMessages(messages, this.#control, this.#markup),
      ...(tools && tools.length > 0 ? { tools: this.#control.escapeDeep(tools) } : {}),
      ...(enableThinking === undefined ? {} : { enable_thinking: enableThinking }),
      add_generation_prompt: addGenerationPrompt,
    });
    return this.#cut(rendered);
  }

  #renderEscaped(variables: Readonly<Record<string, unknown>>): string {
    try {
      return this.#template.render(variables);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new TemplateError(`Cannot render messages: ${reason}`, { cause: error });
    }
  }

  #cut(rendered: string): PromptPiece[] {
    const pieces: PromptPiece[] = [];
    const pushText = (text: string) => {
      if (text !== "") pieces.push({ text: this.#control.restore(text) });
    };
    let start = 0;
    for (const match of rendered.matchAll(this.#vocabulary.addedPattern ?? /(?!)/g)) {
      pushText(rendered.slice(start, match.index));
      pieces.push({ special: this.#vocabulary.idOf(match[0])! });
      start = match.index + match[0].length;
    }
    pushText(rendered.slice(start));
    return pieces;
  }
}

/** @throws {SyntaxError} unless it is a JSON object */
function parseConfig(text: string, dir: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch { /* told below */ }
  throw new SyntaxError(
    `Cannot load "${dir}/tokenizer_config.json": it is not a JSON object, download it again`,
  );
}

/** Token fields of `tokenizer_config.json` are strings or objects with a `content`. */
function tokenText(field: unknown): string {
  if (typeof field === "string") return field;
  const content = (field as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : "";
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
