/** Reads the command line of `plan`. @module */
import { parseArgs } from "node:util";
import { flagFault, outputFile } from "../command_line.ts";
import type { ForecastRequest } from "./estimate.ts";
import {
  FORECAST_OPTIONS,
  ForecastOptionError,
  forecastRequest,
  type ForecastValues,
} from "./request.ts";

/** What the command is to do. */
export interface ForecastCommand {
  readonly request: ForecastRequest;
  readonly json: boolean;
  /** File that the chart is written to. */
  readonly svg: string | null;
}

/** The flags as lines of help. */
export const FORECAST_HELP = [
  "Says what of a model fits a device, and how fast it should be.",
  "",
  ...FORECAST_OPTIONS.map(([name, value, help]) => {
    const flag = `  --${name} ${value}`.padEnd(21);
    return flag + wrapped(help, 78).join(`\n${" ".repeat(21)}`);
  }),
  `  --json             one JSON object instead of a table`,
  `  --svg FILE         also write a chart of tokens/s over the card's memory`,
].join("\n");

/**
 * What `args` ask for.
 * @throws {ForecastOptionError} naming the flag, what was found and what was wanted
 */
export function parseForecastOptions(args: readonly string[]): ForecastCommand {
  const { json, svg, ...values } = flags(args);
  return {
    request: forecastRequest(values, { files: true }),
    json: json === true,
    svg: svg === undefined ? null : outputFile("svg", svg),
  };
}

function flags(
  args: readonly string[],
): ForecastValues & { readonly json?: boolean; readonly svg?: string } {
  const text = Object.fromEntries(
    [...FORECAST_OPTIONS.map(([name]) => name), "svg"].map((name) => [name, {
      type: "string" as const,
    }]),
  );
  const options = { ...text, json: { type: "boolean" as const } };
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new ForecastOptionError("", flagFault(error));
  }
}

function wrapped(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
