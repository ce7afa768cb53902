/** What every command line has in common: its flags, the files it names, and one line for what its caller can mend. @module */
import { dirname } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** A flag or environment variable that cannot be used. */
export class OptionError extends Error {
  override name = "OptionError";
}

/** Classes of errors whose messages tell the caller of a command what to mend. */
const MENDABLE = [
  "OptionError",
  "ForecastOptionError",
  "SynthOptionError",
  "SynthError",
  "ConfigError",
  "WeightsError",
  "PlanError",
];

/**
 * The flags and arguments of a command.
 * @throws {OptionError} for a flag that is unknown or lacks its value, or an argument that nobody asked for
 */
export function readFlags<const Config extends ParseArgsConfig>(
  config: Config,
): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs<Config>(config);
  } catch (error) {
    throw new OptionError(`Cannot read the options: ${flagFault(error)}`);
  }
}

/** What the parser of a command line threw, in a line for people. */
export function flagFault(error: unknown): string {
  // Some of its messages go on with how to pass what begins with a dash.
  const [reason = ""] = (error as Error).message.split(/\.\s/);
  const [, flag] = /^Option '(--\S+)' argument is ambiguous/.exec(reason) ?? [];
  if (flag !== undefined) {
    return `${flag} lacks its value; one that begins with a dash is written ${flag}=-1`;
  }
  return `${reason}; --help lists them`;
}

/**
 * A whole number of a flag.
 * @throws {OptionError} if it is none, or outside of the bounds
 */
export function wholeNumber(
  flag: string,
  text: string,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most && text.trim() !== "") {
    return value;
  }
  throw new OptionError(
    `Cannot read --${flag}: found "${text}", wanted a whole number from ${least} to ${most}`,
  );
}

/**
 * The file of a flag that a command writes when its work is done.
 * @throws {OptionError} now rather than then, if it has no folder to lie in or is one itself
 */
export function outputFile(flag: string, path: string): string {
  const refuse = (found: string) =>
    new OptionError(`Cannot write --${flag} "${path}": ${found}, wanted a file to write`);
  if (isFolder(path)) throw refuse("found a folder");
  if (!isFolder(dirname(path))) throw refuse(`found no folder "${dirname(path)}"`);
  return path;
}

/**
 * The exit code of a command. What its caller can mend comes to one line for `say` and code 2; `also` are
 * further classes of such errors. Any other error deserves its stack.
 * @throws {unknown} any other error
 */
export async function exitCode(
  command: () => number | void | Promise<number | void>,
  { also = [], say = console.error }: {
    readonly also?: readonly (abstract new (...values: never[]) => Error)[];
    readonly say?: (line: string) => void;
  } = {},
): Promise<number> {
  try {
    return (await command()) ?? 0;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (!MENDABLE.includes(error.name) && !also.some((kind) => error instanceof kind)) throw error;
    say(error.message);
    return 2;
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
