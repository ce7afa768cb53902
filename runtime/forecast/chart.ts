/** Tokens a second over the memory of a card, as an SVG picture. @module */
import { LONGEST_DEFAULT_CONTEXT, size } from "../plan.ts";
import { type CurvePoint, vramCurve } from "./curve.ts";
import { decimal, digits } from "./derived.ts";
import {
  estimate,
  type Forecast,
  type ForecastRequest,
  memoryInput,
  pagingOf,
} from "./estimate.ts";
import { pagingRates } from "./paging.ts";
import { element, label, line, niceTicks, path, picture, type Point } from "./svg.ts";

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 62;
const RIGHT = WIDTH - 24;
const TOP = 76;
const BOTTOM = HEIGHT - 58;
const GIB = 2 ** 30;
/** Memory of cards that are common, GiB. */
const CARDS = [8, 12, 16, 24, 32, 48, 80];
/** Further sizes on the axis. */
const SMALL = [0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 6];
const LARGE = [128, 192, 256, 384, 512];
/** Numbers nearer than this run into each other, pixels. */
const LABEL_WIDTH = 36;
const MOST_TICKS = 6;
/** A region without room for words, pixels. */
const NARROW = 24;
/** Half the width of the longest label over the plot. */
const HALF_LABEL = 110;

const STYLE = `
.paper{fill:#fff}.ink{fill:#1c2330}.soft{fill:#5b6577}.grid{stroke:#e1e5eb}.axis{stroke:#8a94a6}
.curve{stroke:#1667c7;fill:none}.band{fill:#1667c7;opacity:.14}.dot{fill:#1667c7}
.mark{stroke:#b4550f}.marked{fill:#b4550f}.none{fill:#5b6577;opacity:.1}
@media (prefers-color-scheme:dark){.paper{fill:#12161d}.ink{fill:#e6eaf0}.soft{fill:#a3adbd}
.grid{stroke:#2a313c}.axis{stroke:#6b7687}.curve{stroke:#62a8f5}.band{fill:#62a8f5;opacity:.2}
.dot{fill:#62a8f5}.mark{stroke:#f0a35e}.marked{fill:#f0a35e}.none{fill:#a3adbd;opacity:.12}}`;

/** Where values lie in the picture. */
interface Scales {
  /** Of a card's memory, bytes. */
  readonly x: (vram: number) => number;
  /** Of tokens a second. */
  readonly y: (rate: number) => number;
  readonly ticks: readonly number[];
  readonly least: number;
  readonly most: number;
}

/** The chart for a request and its forecast: what the model would do on cards of every size. */
export function forecastChart(asked: ForecastRequest, forecasted: Forecast): string {
  // One context for all sizes: the planner would choose a longer one for a larger card.
  const context = forecasted.plan?.contextLength ?? asked.choice.context ??
    Math.min(LONGEST_DEFAULT_CONTEXT, asked.subject.config.maxPositions);
  const request = { ...asked, choice: { ...asked.choice, context } };
  const result = estimate(request);
  const { usable } = request.device;
  const resident = result.everything / usable;
  const smallest = result.least / usable;
  const scales = scalesFor(request, { smallest, resident });
  const curve = vramCurve(request, { from: smallest, to: scales.most });
  const cards = CARDS.map((gib) => gib * GIB)
    .filter((vram) => vram >= smallest && vram >= scales.least && vram <= scales.most);
  const title = `${result.title}: tokens/s over the card's memory`;
  return picture(
    { width: WIDTH, height: HEIGHT, title, style: STYLE },
    element("rect", { class: "paper", width: WIDTH, height: HEIGHT }),
    ...heading(title, request),
    ...grid(scales),
    ...outside(scales, smallest),
    ...threshold(scales, resident, thresholdText(request)),
    area(scales, curve),
    path(curve.map(({ vram, rate }) => [scales.x(vram), scales.y(rate)]), {
      class: "curve",
      "stroke-width": 2.5,
    }),
    ...cards.flatMap((vram) => cardMark(scales, request, vram)),
    ...cardLabels(scales, request, cards),
  );
}

function scalesFor(
  request: ForecastRequest,
  { smallest, resident }: { readonly smallest: number; readonly resident: number },
): Scales {
  const least = Math.min(4 * GIB, smallest / 1.15);
  const most = Math.max(96 * GIB, resident * 1.25);
  const [last] = vramCurve(request, { from: most, to: most });
  const ticks = niceTicks(1.08 * last!.rate, MOST_TICKS);
  const width = Math.log(most / least);
  return {
    x: (vram) => LEFT + (RIGHT - LEFT) * Math.log(vram / least) / width,
    y: (rate) => BOTTOM - (BOTTOM - TOP) * rate / ticks.at(-1)!,
    ticks,
    least,
    most,
  };
}

function heading(title: string, request: ForecastRequest): string[] {
  const { choice, device } = request;
  const host = device.ram === null ? "" : `, host with ${gibibytes(device.ram)} GiB`;
  const rate = pagingRates(device, pagingOf(request, memoryInput(request).experts)).memory;
  return [
    label([LEFT, 28], title, { class: "ink", "font-size": "17px", "font-weight": "600" }),
    label(
      [LEFT, 48],
      `memory at ${decimal(device.bandwidth)}/s, experts paged at ${decimal(rate)}/s${host}, ` +
        `context ${choice.context}, ${choice.maxSequences} sequences, ${choice.kv} KV`,
      { class: "soft", "font-size": "12px" },
    ),
  ];
}

function grid({ x, y, ticks, least, most }: Scales): string[] {
  const small = { class: "soft", "font-size": "12px" };
  const rows = ticks.flatMap((tick) => [
    line([LEFT, y(tick)], [RIGHT, y(tick)], { class: tick === 0 ? "axis" : "grid" }),
    label([LEFT - 8, y(tick) + 4], String(Number(tick.toPrecision(6))), {
      ...small,
      "text-anchor": "end",
    }),
  ]);
  const columns = [...SMALL, ...CARDS, ...LARGE]
    .filter((gib) => gib * GIB >= least && gib * GIB <= most)
    .flatMap((gib) => [
      line([x(gib * GIB), BOTTOM], [x(gib * GIB), BOTTOM + 5], { class: "axis" }),
      label([x(gib * GIB), BOTTOM + 20], String(gib), { ...small, "text-anchor": "middle" }),
    ]);
  const middle = (TOP + BOTTOM) / 2;
  return [
    ...rows,
    ...columns,
    label([LEFT, HEIGHT - 14], "memory of the card, GiB", small),
    label([RIGHT, HEIGHT - 14], "shaded: down to texts that have nothing in common", {
      ...small,
      "text-anchor": "end",
    }),
    label([18, middle], "tokens/s", {
      ...small,
      "text-anchor": "middle",
      transform: `rotate(-90 18 ${middle})`,
    }),
  ];
}

/** What is too small to run at all. */
function outside({ x }: Scales, smallest: number): string[] {
  const width = x(smallest) - LEFT;
  if (width <= 0) return [];
  const region = element("rect", { class: "none", x: LEFT, y: TOP, width, height: BOTTOM - TOP });
  if (width < NARROW) return [region];
  const middle: Point = [LEFT + width / 2 + 4, (TOP + BOTTOM) / 2];
  return [
    region,
    label(middle, `does not fit below ${size(smallest)}`, {
      class: "soft",
      "font-size": "11px",
      "text-anchor": "middle",
      transform: `rotate(-90 ${middle[0]} ${middle[1]})`,
    }),
  ];
}

/** Where everything is on the card. */
function threshold({ x }: Scales, resident: number, text: string): string[] {
  const at = x(resident);
  return [
    line([at, TOP], [at, BOTTOM], {
      class: "mark",
      "stroke-width": 1.5,
      "stroke-dasharray": "5 4",
    }),
    label(
      [Math.max(LEFT + HALF_LABEL, Math.min(RIGHT - HALF_LABEL, at)), TOP - 8],
      `${text} ${size(resident)}`,
      {
        class: "marked",
        "font-size": "12px",
        "text-anchor": "middle",
      },
    ),
  ];
}

function thresholdText({ choice, subject }: ForecastRequest): string {
  if (subject.config.mlp.kind === "moe") return "everything on the card:";
  return `context ${choice.context} from`;
}

/** Between expected speed and that of texts that have nothing in common. */
function area({ x, y }: Scales, curve: readonly CurvePoint[]): string {
  const upper = curve.map(({ vram, rate }): Point => [x(vram), y(rate)]);
  const lower = curve.map(({ vram, least }): Point => [x(vram), y(least)]);
  return path([...upper, ...lower.reverse()], { class: "band" }, true);
}

function cardMark({ x, y }: Scales, request: ForecastRequest, vram: number): string[] {
  return vramCurve(request, { from: vram, to: vram })
    .map(({ rate }) => element("circle", { class: "dot", cx: x(vram), cy: y(rate), r: 4 }));
}

/** The rate of each card, but where it would cover the one before and says the same. */
function cardLabels(
  { x, y }: Scales,
  request: ForecastRequest,
  cards: readonly number[],
): string[] {
  let [last, said] = [-Infinity, ""];
  return cards.flatMap((vram) => vramCurve(request, { from: vram, to: vram })).flatMap((point) => {
    const [at, text] = [x(point.vram) - 7, digits(point.rate)];
    if (at - last < LABEL_WIDTH && text === said) return [];
    [last, said] = [at, text];
    return [
      label([at, y(point.rate) - 9], text, {
        class: "ink",
        "font-size": "12px",
        "text-anchor": "middle",
      }),
    ];
  });
}

function gibibytes(bytes: number): string {
  return digits(bytes / GIB);
}
