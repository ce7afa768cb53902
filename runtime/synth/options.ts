/** Reads the command line of `synth`. @module */
import { parseArgs } from "node:util";
import { flagFault } from "../command_line.ts";
import type { SynthModel } from "./inventory.ts";
import { type Member, MEMBERS } from "./members.ts";
import { DEFAULT_LOCALITY, type SynthRequest } from "./synthesize.ts";

/** A flag that cannot be used. */
export class SynthOptionError extends Error {
  override name = "SynthOptionError";
}

const NAMES = Object.keys(MEMBERS);

/** The flags as lines of help. */
export const SYNTH_HELP = `Writes a snapshot with random weights in the publisher's layout.

  --out DIR          folder to write to: made if missing, else empty
  --model NAME       ${NAMES.join(", ")} (${NAMES[0]})
  --format F         fp8 or bf16 (fp8)
  --layers N         keep only the first N layers
  --experts N        keep only N routed experts a layer
  --vocab N          a vocabulary of N entries
  --locality X       how sticky routing is, 0 to 1, fp8 only (${DEFAULT_LOCALITY}: about 45 % of the
                     experts of a token serve the next one too, of 256 with 8 at a time)
  --seed N           equal seeds give equal bytes (1)

A model that is cut by --layers, --experts or --vocab has neither image tower nor MTP layer.
Tokenizer, chat template and sampling defaults are those of the demo model.`;

/**
 * The request that `args` stand for.
 * @throws {SynthOptionError} naming the flag, what was found and what was wanted
 */
export function parseSynthOptions(args: readonly string[], borrowFrom: string): SynthRequest {
  const values = flags(args);
  const { model = NAMES[0]!, format = "fp8", out } = values;
  const member: Member | undefined = MEMBERS[model as keyof typeof MEMBERS];
  if (!member || !Object.hasOwn(MEMBERS, model)) throw wrong("model", model, NAMES.join(", "));
  if (format !== "fp8" && format !== "bf16") throw wrong("format", format, "fp8 or bf16");
  if (!out) throw wrong("out", out ?? "nothing", "the folder to write to");
  if (format === "bf16" && values.locality !== undefined) {
    throw wrong("locality", values.locality, "it left out: BF16 snapshots are plainly random");
  }
  const request: SynthModel = {
    member,
    format,
    ...given("layers", integer("layers", values.layers)),
    ...given("experts", integer("experts", values.experts)),
    ...given("vocab", integer("vocab", values.vocab)),
  };
  return {
    model: request,
    seed: integer("seed", values.seed, 0) ?? 1,
    locality: share("locality", values.locality) ?? DEFAULT_LOCALITY,
    folder: out,
    borrowFrom,
  };
}

const FLAGS = ["out", "model", "format", "layers", "experts", "vocab", "locality", "seed"] as const;

function flags(args: readonly string[]): Partial<Record<typeof FLAGS[number], string>> {
  const options = Object.fromEntries(FLAGS.map((flag) => [flag, { type: "string" as const }]));
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new SynthOptionError(`Cannot read the options: ${flagFault(error)}`);
  }
}

function given<K extends string>(key: K, value: number | undefined) {
  return value === undefined ? {} : { [key]: value } as Record<K, number>;
}

function integer(flag: string, text: string | undefined, least = 1): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= least && value < 2 ** 32) {
    return value;
  }
  throw wrong(flag, text, `a whole number, at least ${least}`);
}

function share(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw wrong(flag, text, "a number from 0 to 1");
}

function wrong(flag: string, found: string, wanted: string): SynthOptionError {
  return new SynthOptionError(`Cannot read --${flag}: found "${found}", wanted ${wanted}`);
}
