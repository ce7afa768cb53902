/** `deno task plan`: what of a model fits a device, and how fast it should be. @module */
import { ConfigError } from "../model/config.ts";
import { OptionError } from "../options.ts";
import { PlanError, planTable, size } from "../plan.ts";
import { type Forecast, forecast } from "./forecast.ts";
import {
  FORECAST_HELP,
  ForecastOptionError,
  type ForecastRequest,
  parseForecastOptions,
} from "./options.ts";
import { planInput } from "../plan_input.ts";

/** The forecast as lines for people. */
export function forecastTable({ title, device }: ForecastRequest, result: Forecast): string {
  const { plan, least, everything, tokensPerSecond, hitRate, missedBytesPerToken } = result;
  const line = (name: string, value: string, formula = "") =>
    `  ${name.padEnd(22)}${value.padStart(12)}  ${formula}`.trimEnd();
  return [
    `${title} on ${size(device.vram)}`,
    plan ? planTable(plan) : "  it does not fit",
    "",
    line("smallest budget", size(least)),
    line("everything resident", size(everything)),
    line(
      "read a token",
      size(result.weightBytesPerToken.value),
      result.weightBytesPerToken.formula,
    ),
    ...(plan
      ? [
        line("expert hit rate", `${(100 * hitRate.value).toFixed(0)} %`, hitRate.formula),
        line("paged in a token", size(missedBytesPerToken.value), missedBytesPerToken.formula),
        line("tokens a second", tokensPerSecond.value.toPrecision(3), tokensPerSecond.formula),
      ]
      : []),
    ...result.advice.map((advice) => `  -> ${advice}`),
  ].join("\n");
}

/** Runs the command; returns its exit code: 1 if the model does not fit, 2 for a wrong option. */
function main(args: readonly string[]): number {
  if (args.includes("--help")) {
    console.log(FORECAST_HELP);
    return 0;
  }
  try {
    const request = parseForecastOptions(args);
    const { config, tensors, choice, device } = request;
    const result = forecast(config, planInput(config, tensors, choice), device);
    console.log(request.json ? JSON.stringify(result) : forecastTable(request, result));
    return result.fits ? 0 : 1;
  } catch (error) {
    const known = [ForecastOptionError, OptionError, ConfigError, PlanError];
    if (!known.some((kind) => error instanceof kind)) throw error;
    console.error((error as Error).message);
    return 2;
  }
}

if (import.meta.main) Deno.exit(main(Deno.args));
