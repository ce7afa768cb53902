/** Writes SVG: elements as text, nothing else. @module */

/** Attributes of an element; numbers are rounded to a tenth of a pixel. */
export type Attributes = Readonly<Record<string, string | number>>;

/** A point in pixels. */
export type Point = readonly [x: number, y: number];

/** One element; children are elements already written. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes).map(([key, value]) =>
    ` ${key}="${typeof value === "number" ? pixels(value) : escaped(value)}"`
  );
  const open = `<${name}${written.join("")}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join("\n")}</${name}>`;
}

/** A line of text that starts, or with `text-anchor` ends or is centred, at a point. */
export function label([x, y]: Point, text: string, attributes: Attributes = {}): string {
  return element("text", { x, y, ...attributes }, escaped(text));
}

/** A straight line. */
export function line([x1, y1]: Point, [x2, y2]: Point, attributes: Attributes = {}): string {
  return element("line", { x1, y1, x2, y2, ...attributes });
}

/** A line through points, or with `closed` the area they enclose. */
export function path(points: readonly Point[], attributes: Attributes, closed = false): string {
  const steps = points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${pixels(x)} ${pixels(y)}`);
  return element("path", { d: steps.join("") + (closed ? "Z" : ""), ...attributes });
}

/** The whole picture, with its title for those who cannot see it. */
export function picture(
  { width, height, title, style }: {
    readonly width: number;
    readonly height: number;
    readonly title: string;
    readonly style: string;
  },
  ...children: string[]
): string {
  return element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "font-family": "system-ui, sans-serif",
    },
    element("title", {}, escaped(title)),
    `<style>${style}</style>`,
    ...children,
  ) + "\n";
}

/** Ends of a scale's steps: 1, 2 or 5 times a power of ten apart, at most `most` of them up to `top`. */
export function niceTicks(top: number, most: number): number[] {
  const rough = top / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, i) => i * step);
}

function pixels(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
