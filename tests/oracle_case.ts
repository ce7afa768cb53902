/** Reads what `tests/oracle/expect.py` wrote; the format is described in `tests/oracle/README.md`. @module */

/** The greedy continuation of one prompt. */
export interface ExpectedGreedy {
  readonly tokens: readonly number[];
  /** Natural-log probability of each token. */
  readonly logprobs: Float32Array;
  /** Gap between the two best logits where the token was chosen. */
  readonly margins: Float32Array;
  /** Smallest router gap at the token's own position. */
  readonly routerMargins: Float32Array;
}

/** What the reference makes of one prompt. */
export interface ExpectedPrompt {
  readonly tokens: readonly number[];
  /** Of tokens 1..n-1, each given those before it. */
  readonly logprobs: Float32Array;
  /** Of positions 0..n-1: the smallest gap between router logits k and k + 1 over the layers. */
  readonly routerMargins: Float32Array;
  /** The likeliest next tokens, best first. */
  readonly top: { readonly tokens: readonly number[]; readonly logprobs: Float32Array };
  readonly greedy: ExpectedGreedy;
}

/** A committed snapshot with its expectation. */
export interface OracleCase {
  readonly name: string;
  /** The snapshot's folder. */
  readonly dir: string;
  readonly prompts: readonly ExpectedPrompt[];
}

/** Names of all committed cases. */
export const ORACLE_CASES = [
  "tiny_fp8",
  "real_heads_fp8",
  "odd_fp8",
  "blocks_fp8",
  "fused_bf16",
  "split_bf16",
  "dense_tied_bf16",
  "dense_yarn_fp8",
] as const;

/** Loads a committed case; prompts longer than `maxLength` are left out. */
export function loadOracleCase(
  name: typeof ORACLE_CASES[number],
  maxLength = Infinity,
): OracleCase {
  const dir = new URL(`./golden/parity/${name}`, import.meta.url).pathname;
  const prompts = readExpectation(`${dir}/expect.jsonl`);
  return { name, dir, prompts: prompts.filter((prompt) => prompt.tokens.length <= maxLength) };
}

/** Reads an `expect.jsonl`. */
export function readExpectation(path: string): readonly ExpectedPrompt[] {
  const lines = Deno.readTextFileSync(path).trimEnd().split("\n").slice(1);
  return lines.map((line) => parsePrompt(JSON.parse(line) as PackedPrompt));
}

interface PackedPrompt {
  readonly tokens: readonly number[];
  readonly logprobs: string;
  readonly routerMargins: string;
  readonly top: { readonly tokens: readonly number[]; readonly logprobs: string };
  readonly greedy: {
    readonly tokens: readonly number[];
    readonly logprobs: string;
    readonly margins: string;
    readonly routerMargins: string;
  };
}

function parsePrompt(packed: PackedPrompt): ExpectedPrompt {
  const { tokens, top, greedy } = packed;
  return {
    tokens,
    logprobs: unpack(packed.logprobs),
    routerMargins: unpack(packed.routerMargins),
    top: { tokens: top.tokens, logprobs: unpack(top.logprobs) },
    greedy: {
      tokens: greedy.tokens,
      logprobs: unpack(greedy.logprobs),
      margins: unpack(greedy.margins),
      routerMargins: unpack(greedy.routerMargins),
    },
  };
}

function unpack(base64: string): Float32Array {
  return new Float32Array(Uint8Array.fromBase64(base64).buffer);
}
