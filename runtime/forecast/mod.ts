/** What of a model fits a device, and how fast it should be. @module */
export { type Forecast } from "./estimate.ts";
export { type PlanAnswer, Planner, type PlannerOptions } from "./planner.ts";
export {
  FORECAST_OPTIONS,
  type ForecastOption,
  ForecastOptionError,
  type ForecastValues,
} from "./request.ts";
