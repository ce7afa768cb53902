/** `deno task plan`: what of a model fits a device, and how fast it should be. @module */
import { ConfigError } from "../model/config.ts";
import { PlanError } from "../plan.ts";
import { forecastChart } from "./chart.ts";
import { forecast } from "./forecast.ts";
import { FORECAST_HELP, parseForecastOptions } from "./options.ts";
import { ForecastOptionError } from "./request.ts";
import { forecastTable } from "./table.ts";

/** Runs the command; returns its exit code: 1 if the model does not fit, 2 for a wrong option. */
function main(args: readonly string[]): number {
  if (args.includes("--help")) {
    console.log(FORECAST_HELP);
    return 0;
  }
  try {
    const { request, json, svg } = parseForecastOptions(args);
    const result = forecast(request);
    if (svg !== null) writeChart(svg, forecastChart(request, result));
    console.log(json ? JSON.stringify(result) : forecastTable(result));
    return result.fits ? 0 : 1;
  } catch (error) {
    const known = [ForecastOptionError, ConfigError, PlanError];
    if (!known.some((kind) => error instanceof kind)) throw error;
    console.error((error as Error).message);
    return 2;
  }
}

function writeChart(file: string, chart: string): void {
  try {
    Deno.writeTextFileSync(file, chart);
  } catch (error) {
    throw new ForecastOptionError("svg", (error as Error).message);
  }
}

if (import.meta.main) Deno.exit(main(Deno.args));
