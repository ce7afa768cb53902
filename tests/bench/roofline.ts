/** The kernels under the roofline as an SVG: arithmetic intensity against arithmetic rate, both logarithmic. @module */
import type { KernelResult } from "./kernel_case.ts";
import type { KernelReport } from "./kernels.ts";
import { type Box, overlap, placeLabels } from "./labels.ts";

const WIDTH = 1040;
const PLOT = { left: 76, top: 64, right: 1010, bottom: 560 } as const;
const RADIUS = 4;
const LEGEND_TOP = 632;
const LEGEND_LINE = 19;
/** Width of a digit and height of a line of labels, px. */
const DIGIT = 7;
const LABEL_HEIGHT = 13;
/** Width of a letter of text at most, px. */
const LETTER = 7;

const STYLE = `
    svg { font: 12px system-ui, "DejaVu Sans", sans-serif; background: #ffffff }
    .paper { fill: #ffffff }
    text { fill: #1f2933 }
    .quiet { fill: #52606d }
    .title { font-size: 16px; font-weight: 600 }
    .grid { stroke: #dde3ea; stroke-width: 1 }
    .roof { stroke: #c2410c; stroke-width: 2; fill: none }
    .roof-text { fill: #c2410c }
    .lead { stroke: #9aa5b1; stroke-width: 1 }
    .bytes { fill: #1d4ed8 }
    .flops { fill: #047857 }
    @media (prefers-color-scheme: dark) {
      svg { background: #14181d }
      .paper { fill: #14181d }
      text { fill: #e4e7eb }
      .quiet { fill: #9aa5b1 }
      .grid { stroke: #2d3640 }
      .roof { stroke: #fb923c }
      .roof-text { fill: #fb923c }
      .lead { stroke: #64748b }
      .bytes { fill: #7aa2ff }
      .flops { fill: #34d399 }
    }`;

/** A logarithmic axis over whole decades. */
interface Axis {
  readonly from: number;
  readonly to: number;
  /** Pixels of a value. */
  readonly at: (value: number) => number;
}

/** The chart. Dots are numbered; the legend under it has their names and rates. */
export function rooflineSvg(
  { kernels, read, fma }: Pick<KernelReport, "kernels" | "read" | "fma">,
  { title, subtitle }: { readonly title: string; readonly subtitle: string },
): string {
  const ridge = fma / read;
  const intensities = kernels.map(({ flops, bytes }) => flops / bytes);
  const rates = kernels.map(({ flops, seconds }) => flops / seconds);
  const x = axis([...intensities, ridge], PLOT.left, PLOT.right);
  const y = axis([...rates, fma], PLOT.bottom, PLOT.top);
  const points = kernels.map((_, i) => ({ x: x.at(intensities[i]!), y: y.at(rates[i]!) }));
  const flat = flatLabel(fma, [x.at(ridge), y.at(fma)], points);
  const rows = Math.ceil(kernels.length / 2);
  const height = LEGEND_TOP + rows * LEGEND_LINE + 28;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `  <title>${escape(title)}</title>`,
    `  <style>${STYLE}\n  </style>`,
    `  <rect class="paper" width="${WIDTH}" height="${height}"/>`,
    text(PLOT.left, 26, title, "title"),
    text(PLOT.left, 46, subtitle, "quiet"),
    ...grid(x, y),
    ...roof({ x, y, read, fma }, flat),
    ...dots(kernels, points, flat),
    ...legend(kernels, rows),
    text(
      PLOT.left - 12,
      height - 14,
      "blue: bounded by bytes, and their share of the reading rate; green: by arithmetic, and its share of that rate",
      "quiet",
    ),
    "</svg>\n",
  ].join("\n");
}

/** Whole decades around the values. */
function axis(values: readonly number[], first: number, last: number): Axis {
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values)) + 0.05));
  const at = (value: number) => first + (last - first) * (Math.log10(value) - from) / (to - from);
  return { from, to, at };
}

function grid(x: Axis, y: Axis): string[] {
  const lines: string[] = [];
  for (let decade = x.from; decade <= x.to; decade++) {
    const at = x.at(10 ** decade);
    lines.push(line("grid", [at, PLOT.top], [at, PLOT.bottom]));
    lines.push(text(at, PLOT.bottom + 18, label(10 ** decade), "quiet", "middle"));
  }
  for (let decade = y.from; decade <= y.to; decade++) {
    const at = y.at(10 ** decade);
    lines.push(line("grid", [PLOT.left, at], [PLOT.right, at]));
    lines.push(text(PLOT.left - 8, at + 4, label(10 ** decade / 1e9), "quiet", "end"));
  }
  const middle = (PLOT.left + PLOT.right) / 2;
  lines.push(text(middle, PLOT.bottom + 38, "operations a byte", "quiet", "middle"));
  const centre = (PLOT.top + PLOT.bottom) / 2;
  lines.push(
    `  <text class="quiet" text-anchor="middle" transform="translate(20 ${centre}) rotate(-90)">GFLOP/s</text>`,
  );
  return lines;
}

/** Text on the flat part of the roof: as far right as no dot is in its way. */
interface FlatLabel extends Box {
  readonly content: string;
}

function flatLabel(fma: number, [ridge, top]: Point, dots: readonly Dot[]): FlatLabel {
  const content = `multiplies and adds ${label(fma / 1e9)} GFLOP/s`;
  const [width, height, y] = [content.length * LETTER, LABEL_HEIGHT, top - 12];
  const last = PLOT.right - width / 2 - 4;
  for (let x = last; x > ridge + width / 2; x -= LETTER) {
    const box = { x, y, width, height };
    const hit = dots.some((dot) => overlap(box, { ...dot, width: 8, height: 8 }, 2));
    if (!hit) return { ...box, content };
  }
  return { x: last, y, width, height, content };
}

/** What memory and arithmetic allow, as measured. */
function roof(
  { x, y, read, fma }: {
    readonly x: Axis;
    readonly y: Axis;
    readonly read: number;
    readonly fma: number;
  },
  flat: FlatLabel,
): string[] {
  // Where the slope enters the plot: at its left edge or at its bottom.
  const start = Math.max(10 ** x.from, 10 ** y.from / read);
  const corner: Point = [x.at(fma / read), y.at(fma)];
  const foot: Point = [x.at(start), y.at(start * read)];
  const end: Point = [PLOT.right, y.at(fma)];
  const path = [foot, corner, end].map((point) => point.map(round).join(" ")).join(" L ");
  const angle = Math.atan2(corner[1] - foot[1], corner[0] - foot[0]) * 180 / Math.PI;
  const middle = foot.map((value, i) => value + (corner[i]! - value) * 0.25);
  return [
    `  <path class="roof" d="M ${path}"/>`,
    `  <text class="roof-text" text-anchor="middle" transform="translate(${
      middle.map(round).join(" ")
    }) rotate(${round(angle)}) translate(0 -8)">reads ${label(read / 1e9)} GB/s</text>`,
    text(flat.x, flat.y + 4, flat.content, "roof-text", "middle"),
  ];
}

type Point = [x: number, y: number];

interface Dot {
  readonly x: number;
  readonly y: number;
}

function dots(kernels: readonly KernelResult[], points: readonly Dot[], flat: Box): string[] {
  const requests = points.map((point, i) => ({
    ...point,
    width: DIGIT * String(i + 1).length,
    height: LABEL_HEIGHT,
  }));
  const frame: Box = {
    x: (PLOT.left + PLOT.right) / 2,
    y: (PLOT.top + PLOT.bottom) / 2,
    width: PLOT.right - PLOT.left,
    height: PLOT.bottom - PLOT.top,
  };
  const labels = placeLabels(requests, { frame, radius: RADIUS, others: [flat] });
  return [
    ...labels.map(({ x, y }, i) => line("lead", [points[i]!.x, points[i]!.y], [x, y])),
    ...labels.map(({ x, y, width, height }) =>
      `  <rect class="paper" x="${round(x - width / 2)}" y="${
        round(y - height / 2)
      }" width="${width}" height="${height}"/>`
    ),
    ...kernels.map(({ limit }, i) =>
      `  <circle class="${limit}" cx="${round(points[i]!.x)}" cy="${
        round(points[i]!.y)
      }" r="${RADIUS}"/>`
    ),
    ...labels.map(({ x, y }, i) => text(x, y + 4, String(i + 1), "number", "middle")),
  ];
}

/** Names in two columns; colours say what bounds a kernel. */
function legend(kernels: readonly KernelResult[], rows: number): string[] {
  return kernels.flatMap(({ name, limit, flops, bytes, seconds, ofCeiling }, i) => {
    const left = PLOT.left - 46 + Math.floor(i / rows) * 500;
    const top = LEGEND_TOP + (i % rows) * LEGEND_LINE;
    const rate = limit === "bytes"
      ? `${label(bytes / seconds / 1e9)} GB/s`
      : `${label(flops / seconds / 1e9)} GFLOP/s`;
    return [
      `  <circle class="${limit}" cx="${left}" cy="${top - 4}" r="${RADIUS}"/>`,
      text(left + 26, top, String(i + 1), "number", "end"),
      text(left + 34, top, name),
      text(left + 478, top, `${rate}, ${Math.round(100 * ofCeiling)} %`, "quiet", "end"),
    ];
  });
}

function text(x: number, y: number, content: string, kind = "", anchor = "start"): string {
  const kindOf = kind ? ` class="${kind}"` : "";
  const anchored = anchor === "start" ? "" : ` text-anchor="${anchor}"`;
  return `  <text x="${round(x)}" y="${round(y)}"${kindOf}${anchored}>${escape(content)}</text>`;
}

function line(kind: string, [x1, y1]: Point, [x2, y2]: Point): string {
  const ends = [x1, y1, x2, y2].map(round);
  return `  <line class="${kind}" x1="${ends[0]}" y1="${ends[1]}" x2="${ends[2]}" y2="${
    ends[3]
  }"/>`;
}

/** Three digits that count, no power of ten. */
function label(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
