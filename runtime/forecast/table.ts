/** A forecast as text for people. @module */
import { size } from "../plan.ts";
import { decimal, type Derived, digits, percent, time } from "./derived.ts";
import { type Forecast, type ForecastSpeed, PROMPT, type Speed } from "./estimate.ts";

/** The forecast as lines, the answer first. */
export function forecastTable(result: Forecast): string {
  const { title, device, plan, speed, budget } = result;
  const host = device.ram === null ? "" : `, host with ${size(device.ram)}`;
  return [
    `${title} on ${device.name}: ${size(device.vram)} at ${decimal(device.bandwidth)}/s${host}`,
    ...verdict(result).map((line) => `  ${line}`),
    "",
    ...(plan ? memoryLines(result) : []),
    line("planned with", size(budget.value), budget.formula),
    line("smallest that works", size(result.least)),
    line("everything on the GPU", size(result.everything)),
    line("loading at start", time(result.loadSeconds.value), result.loadSeconds.formula),
    "",
    ...(speed ? [...speedLines(result, speed), ""] : []),
    ...result.advice.map((advice) => `  -> ${advice}`),
  ].join("\n").trimEnd();
}

/** The answer to "will it run?" in one or two lines. */
export function verdict(result: Forecast): string[] {
  const { plan, speed, sequences, least, budget, contextTogether: together } = result;
  if (!plan || !speed) {
    return [`It does not fit: ${size(least)} are needed, ${size(budget.value)} are there`];
  }
  const { tokensPerSecond, firstTokenSeconds } = speed;
  const shorter = together! < plan.contextLength
    ? ` for one, ${together} each for ${sequences} at once`
    : "";
  const how = plan.allResident
    ? "It fits, with everything on the GPU"
    : `It runs, paging: ${plan.expertSlots} slots for experts in each layer, the rest on demand`;
  const others = sequences > 1
    ? `, ${sequences} together ${range(speed.together)} (${range(speed.together, sequences)} each)`
    : "";
  return [
    `${how}; context up to ${plan.contextLength}${shorter}`,
    `one answer at about ${
      range(tokensPerSecond)
    } tokens/s${others}, the first token of a ${PROMPT}-token ` +
    `prompt after ${time(firstTokenSeconds.value)}`,
  ];
}

/** The value, down to the least where that is far from it, of one of so many. */
function range({ value, least }: Speed, of = 1): string {
  return least < 0.9 * value
    ? `${digits(least / of)} to ${digits(value / of)}`
    : digits(value / of);
}

function memoryLines({ plan, memory }: Forecast): string[] {
  return [
    ...plan!.rows.map(([purpose, detail, bytes]) =>
      line(purpose, size(bytes), memory[purpose] ?? detail)
    ),
    line("total", size(plan!.total), memory.room),
    "",
  ];
}

function speedLines({ sequences, plan }: Forecast, speed: ForecastSpeed): string[] {
  const rows: [string, Derived, (value: number) => string][] = [
    ["read a token", speed.bytesPerToken, decimal],
    ["expert hit rate", speed.hitRate, percent],
    ["experts from disk", speed.diskRate, percent],
    ["paged in a token", speed.pagedBytesPerToken, decimal],
    ["tokens/s, one", speed.tokensPerSecond, digits],
    [`  after ${plan!.contextLength}`, speed.atFullContext, digits],
    [`tokens/s, ${sequences} together`, speed.together, digits],
    ["bandwidth alone", speed.ceiling, digits],
    ["prompt tokens/s", speed.prefillTokensPerSecond, digits],
    ["first token", speed.firstTokenSeconds, time],
  ];
  const paging = new Set(["experts from disk", "paged in a token"]);
  return rows
    .filter(([name]) => !plan!.allResident || !paging.has(name))
    .filter(([, derived]) => derived !== speed.together || sequences > 1)
    .map(([name, derived, show]) => line(name, show(derived.value), derived.formula));
}

function line(name: string, value: string, formula = ""): string {
  return `  ${name.padEnd(22)}${value.padStart(11)}  ${formula}`.trimEnd();
}
