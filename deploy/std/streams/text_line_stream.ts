/** Options of {@linkcode TextLineStream}. */
export interface TextLineStreamOptions {
  /** Whether a lone `\r` ends a line too; false unless given. */
  allowCR?: boolean;
}

/** Text in pieces of any size in, lines without their `\n` or `\r\n` out. */
export class TextLineStream extends TransformStream<string, string> {
  #pending = "";

  constructor(options: TextLineStreamOptions = { allowCR: false }) {
    const ending = options.allowCR ? /\r\n|\n|\r(?!\n)(?!$)/ : /\r?\n/;
    super({
      transform: (chunk, controller) => {
        const lines = (this.#pending + chunk).split(ending);
        this.#pending = lines.pop() ?? "";
        for (const line of lines) controller.enqueue(line);
      },
      flush: (controller) => {
        const last = options.allowCR && this.#pending.endsWith("\r")
          ? this.#pending.slice(0, -1)
          : this.#pending;
        if (last !== "") controller.enqueue(last);
      },
    });
  }
}
