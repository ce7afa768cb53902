/**
 * Holds a running server against an expectation of `expect.py`: every prompt goes as token ids to
 * `/v1/completions`, comes back with the log-probabilities of prompt and continuation, and is compared by
 * the rule of `tests/parity.ts`. Exits 1 where they disagree.
 *
 *     deno run -A tests/oracle/compare.ts http://127.0.0.1:8080 DIR/expect.jsonl [--tie 1e-4] [--tolerance 0.01]
 * @module
 */
import { exitCode, OptionError, readFlags } from "../../runtime/command_line.ts";
import { readReason } from "../../weights/mod.ts";
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
  const response = await reach(new URL("/v1/completions", url), {
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

async function reach(url: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (error) {
    throw new OptionError(`Cannot reach ${url}: ${(error as Error).message}; start a server there`);
  }
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

const USAGE = "compare.ts URL EXPECT.jsonl [--tie 1e-4] [--tolerance 0.01]";

/** @throws {OptionError} naming what was found and what was wanted */
function parseCompareOptions(args: readonly string[]) {
  const text = { type: "string" } as const;
  const { values, positionals: [url, path] } = readFlags({
    args: [...args],
    options: { tie: { ...text, default: "1e-4" }, tolerance: { ...text, default: "0.01" } },
    allowPositionals: true,
  });
  if (url === undefined || path === undefined || !URL.canParse(url)) {
    throw new OptionError(`Cannot compare: found "${args.join(" ")}", wanted ${USAGE}`);
  }
  const [routerTie, tolerance] = [
    positive("tie", values.tie),
    positive("tolerance", values.tolerance),
  ];
  return { url, prompts: expectationOf(path), rule: { routerTie, tolerance } };
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new OptionError(`Cannot read --${flag}: found "${text}", wanted a number above 0`);
}

function expectationOf(path: string): readonly ExpectedPrompt[] {
  try {
    return readExpectation(path);
  } catch (error) {
    throw new OptionError(
      `Cannot read "${path}": ${readReason(error)}, wanted what expect.py writes`,
    );
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const { url, prompts, rule } = parseCompareOptions(args);
  const answered: Answered[] = [];
  for (const prompt of prompts) {
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

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
