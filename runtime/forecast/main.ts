/** `deno task plan`: what of a model fits a device, and how fast it should be. @module */
import { exitCode } from "../command_line.ts";
import { forecastChart } from "./chart.ts";
import { forecast } from "./forecast.ts";
import { FORECAST_HELP, parseForecastOptions } from "./options.ts";
import { forecastTable } from "./table.ts";

/** Runs the command; returns its exit code: 1 if the model does not fit, 2 for a wrong option. */
function main(args: readonly string[]): number {
  if (args.includes("--help")) {
    console.log(FORECAST_HELP);
    return 0;
  }
  const { request, json, svg } = parseForecastOptions(args);
  const result = forecast(request);
  if (svg !== null) Deno.writeTextFileSync(svg, forecastChart(request, result));
  console.log(json ? JSON.stringify(result) : forecastTable(result));
  return result.fits ? 0 : 1;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
