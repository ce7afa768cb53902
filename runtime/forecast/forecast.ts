/** Says before anything is downloaded what of a model fits a device, how fast it should be, and what to change. @module */
import { adviceFor } from "./advice.ts";
import { estimate, type Forecast, type ForecastRequest } from "./estimate.ts";

/** The forecast, with advice. */
export function forecast(request: ForecastRequest): Forecast {
  const result = estimate(request);
  return { ...result, advice: adviceFor(request, result) };
}
