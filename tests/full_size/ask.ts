/** One streamed plain completion over HTTP: ids and log-probabilities. @module */
import { TextLineStream } from "@std/streams";

/** What to ask. */
export interface Question {
  readonly prompt: readonly number[];
  readonly tokens: number;
  /** Alternatives of each token. */
  readonly alternatives: number;
}

/** What came back. */
export interface Answer {
  readonly ids: readonly number[];
  /** Of each token as the server printed it: 32-bit floats, which JSON keeps exactly. */
  readonly logprobs: readonly number[];
  /** Alternatives of each token with their log-probabilities. */
  readonly tops: readonly Readonly<Record<string, number>>[];
  /** What the stream ended with, if it was an error. */
  readonly error: string | null;
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly {
    readonly logprobs: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly number[];
      readonly top_logprobs: readonly Record<string, number>[];
    } | null;
  }[];
}

/** Asks and reads the stream to its end; `onToken` is told how many tokens have come. */
export async function ask(
  base: string,
  { prompt, tokens, alternatives }: Question,
  onToken: (count: number) => void = () => {},
): Promise<Answer> {
  const response = await fetch(`${base}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      prompt,
      max_tokens: tokens,
      temperature: 0,
      stream: true,
      logprobs: alternatives,
      ignore_eos: true,
      return_tokens_as_token_ids: true,
    }),
  });
  const answer = {
    ids: [] as number[],
    logprobs: [] as number[],
    tops: [] as Record<string, number>[],
    error: null as string | null,
  };
  for await (const chunk of chunks(response)) {
    if (chunk.error) answer.error = chunk.error.message;
    const scores = chunk.choices?.[0]?.logprobs;
    if (!scores || scores.tokens.length === 0) continue;
    answer.ids.push(...scores.tokens.map((name) => Number(name.replace("token_id:", ""))));
    answer.logprobs.push(...scores.token_logprobs);
    answer.tops.push(...scores.top_logprobs);
    onToken(answer.ids.length);
  }
  return answer;
}

async function* chunks(response: Response): AsyncGenerator<Chunk> {
  const text = response.body!.pipeThrough(new TextDecoderStream());
  if (!response.ok) {
    yield JSON.parse((await Array.fromAsync(text)).join(""));
    return;
  }
  for await (const line of text.pipeThrough(new TextLineStream())) {
    if (line.startsWith("data: {")) yield JSON.parse(line.slice("data: ".length));
  }
}
