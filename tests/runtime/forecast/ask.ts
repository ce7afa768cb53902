/** Forecasts as the command would make them. @module */
import { forecast } from "../../../runtime/forecast/forecast.ts";
import { parseForecastOptions } from "../../../runtime/forecast/options.ts";

/** The request of a command line. */
export function requestOf(line: string) {
  return parseForecastOptions(line.split(" ")).request;
}

/** The forecast of a command line. */
export function ask(line: string) {
  return forecast(requestOf(line));
}
