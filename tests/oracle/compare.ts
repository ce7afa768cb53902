/**
 * Holds a running server against an expectation of `expect.py`: every prompt goes as token ids to
 * `/v1/completions`, comes back with the log-probabilities of prompt and continuation, and is compared by
 * the rule of `tests/parity.ts`. Exits 1 where they disagree.
 *
 *     deno run -A tests/oracle/compare.ts http://127.0.0.1:8080 DIR/expect.jsonl [--tie 1e-4] [--tolerance 0.01]
 * @module
 */
import { type ExpectedPrompt, readExpectation } from "../oracle_case.ts";
import { compareParity, type ParityResult } from "../parity.ts";

/** The part of a completion that is read. */
interface Completion {
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly logprobs: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly (number | null)[];
    };
  }[];
}

/** A prompt's result, with the expectation cut where the server ended the text at a stop id. */
interface Answered {
  readonly expected: ExpectedPrompt;
  readonly result: ParityResult;
}

async function ask(url: string, expected: ExpectedPrompt): Promise<Answered> {
  const steps = expected.greedy.tokens.length;
  const response = await fetch(new URL("/v1/completions", url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      prompt: expected.tokens,
      max_tokens: steps,
      temperature: 0,
      repetition_penalty: 1,
      presence_penalty: 0,
      echo: true,
      logprobs: 1,
      return_tokens_as_token_ids: true,
    }),
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
  const { choices: [choice] } = await response.json() as Completion;
  if (choice === undefined) throw new Error("Cannot compare: the answer has no choice");
  return read(expected, choice);
}

function read(expected: ExpectedPrompt, choice: Completion["choices"][number]): Answered {
  const { tokens, token_logprobs } = choice.logprobs;
  const count = expected.tokens.length;
  const ids = tokens.map((token) => Number(token.replace("token_id:", "")));
  const echoed = ids.slice(0, count);
  if (echoed.join() !== expected.tokens.join()) {
    throw new Error(`Cannot compare: ${count} prompt tokens sent, ${echoed.join()} echoed`);
  }
  const greedy = ids.slice(count);
  const logprobs = token_logprobs.slice(1, count).map((value) => value ?? NaN);
  const cut = choice.finish_reason === "stop" ? greedy.length : expected.greedy.tokens.length;
  const wanted = { ...expected.greedy, tokens: expected.greedy.tokens.slice(0, cut) };
  return { expected: { ...expected, greedy: wanted }, result: { logprobs, greedy } };
}

function option(name: string, fallback: number): number {
  const at = Deno.args.indexOf(name);
  return at < 0 ? fallback : Number(Deno.args[at + 1]);
}

async function main(): Promise<number> {
  const [url, path] = Deno.args;
  if (url === undefined || path === undefined) {
    console.error("usage: compare.ts URL EXPECT.jsonl [--tie 1e-4] [--tolerance 0.01]");
    return 2;
  }
  const rule = { routerTie: option("--tie", 1e-4), tolerance: option("--tolerance", 0.01) };
  const answered: Answered[] = [];
  for (const prompt of readExpectation(path)) {
    const answer = await ask(url, prompt);
    answered.push(answer);
    const one = compareParity([answer.expected], [answer.result], { ...rule, exemptShare: 1 });
    console.log(
      `${prompt.tokens.length} tokens: worst ${one.worst.toExponential(1)}, ` +
        `${one.exempt} near-ties, ${one.greedyCompared} greedy tokens equal`,
    );
  }
  const report = compareParity(
    answered.map(({ expected }) => expected),
    answered.map(({ result }) => result),
    rule,
  );
  report.problems.forEach((problem) => console.log(problem));
  console.log(report.problems.length === 0 ? "parity holds" : "parity is broken");
  return report.problems.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
