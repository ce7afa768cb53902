/**
 * Compares the tokenizer with goldens that `make_goldens.py` wrote into a folder:
 * `deno run -A tests/oracle/text/compare.ts DIR`. Exit code 1 if any case differs.
 * @module
 */
import { exitCode, OptionError } from "../../../runtime/command_line.ts";
import { readReason } from "../../../weights/mod.ts";
import { Tokenizer } from "../../../runtime/text/tokenizer.ts";

/** What `tokens.json` holds: [text, ids, ids without special parsing?] and [ids, text, text without control]. */
export interface TokenGoldens {
  readonly encode: readonly (readonly [string, number[], number[]?])[];
  readonly decode: readonly (readonly [number[], string, string])[];
}

/** Every difference as one line. */
export function compareTokens(tokenizer: Tokenizer, goldens: TokenGoldens): string[] {
  const faults: string[] = [];
  const check = (what: string, input: unknown, got: unknown, wanted: unknown) => {
    const [g, w] = [JSON.stringify(got), JSON.stringify(wanted)];
    if (g !== w) faults.push(`${what} ${JSON.stringify(input)}: got ${g}, wanted ${w}`);
  };
  for (const [text, ids, plain = ids] of goldens.encode) {
    check("encode", text, tokenizer.encode(text, { special: true }), ids);
    check("encode plain", text, tokenizer.encode(text, { special: false }), plain);
  }
  for (const [ids, text, visible] of goldens.decode) {
    check("decode", ids, tokenizer.decode(ids, { skipSpecial: false }), text);
    check("decode visible", ids, tokenizer.decode(ids, { skipSpecial: true }), visible);
  }
  return faults;
}

async function main([dir = "tests/golden/text"]: readonly string[]): Promise<number> {
  const goldens: TokenGoldens = JSON.parse(readText(`${dir}/tokens.json`));
  const faults = compareTokens(await Tokenizer.load(dir), goldens);
  faults.forEach((fault) => console.log(fault));
  console.log(
    `${goldens.encode.length + goldens.decode.length} cases, ${faults.length} differences`,
  );
  return faults.length > 0 ? 1 : 0;
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new OptionError(
      `Cannot read "${path}": ${readReason(error)}, wanted what make_goldens.py writes`,
    );
  }
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
