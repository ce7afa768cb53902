/**
 * Routing traces: which experts every row of every step chose, layer by layer. They are what eviction policies
 * are judged by. As text a trace is JSON lines: what it is of, then one line a step,
 *
 *     {"format":"deltapage-routing-1","model":"demo","layers":2,"experts":8,"topK":2}
 *     {"rows":3,"ids":["AAECAwQF","BQQDAgEA"]}
 *
 * where `ids` has one entry a layer: base64 of [rows, topK] expert ids, best first, one byte an id or, with more
 * than 256 experts, two (low byte first).
 * @module
 */

/** What was routed. */
export interface TraceHeader {
  /** Where the trace comes from, for people. */
  readonly model: string;
  readonly layers: number;
  /** Experts of a layer. */
  readonly experts: number;
  /** Experts that a row chooses in each layer. */
  readonly topK: number;
}

/** One step of the engine. */
export interface RoutedStep {
  readonly rows: number;
  /** One entry a layer: ids [rows, topK], best first. */
  readonly layers: readonly Uint16Array[];
}

/** A run of the engine as its routers saw it. */
export interface RoutingTrace {
  readonly header: TraceHeader;
  readonly steps: readonly RoutedStep[];
}

/** Told of each layer of each step, in order: ids [rows, topK], best first. */
export type OnRoute = (layer: number, ids: Uint32Array, rows: number) => void;

const FORMAT = "deltapage-routing-1";

/** Collects what an engine tells about its routing. */
export class TraceRecorder {
  readonly #header: TraceHeader;
  readonly #steps: RoutedStep[] = [];
  #layers: Uint16Array[] = [];

  constructor(header: TraceHeader) {
    this.#header = header;
  }

  /** To be given to the engine. A step that failed before its last layer is left out. */
  readonly onRoute: OnRoute = (layer, ids, rows) => {
    if (layer === 0) this.#layers = [];
    this.#layers.push(Uint16Array.from(ids));
    if (layer === this.#header.layers - 1) this.#steps.push({ rows, layers: this.#layers });
  };

  /** Everything since the start. */
  trace(): RoutingTrace {
    return { header: this.#header, steps: [...this.#steps] };
  }
}

/** The trace as text. */
export function formatTrace({ header, steps }: RoutingTrace): string {
  const { model, layers, experts, topK } = header;
  const lines = [JSON.stringify({ format: FORMAT, model, layers, experts, topK })];
  for (const step of steps) {
    const ids = step.layers.map((layer) => toBytes(layer, experts).toBase64());
    lines.push(JSON.stringify({ rows: step.rows, ids }));
  }
  return lines.join("\n") + "\n";
}

/** @throws {SyntaxError} naming the line, for text that is no trace */
export function parseTrace(text: string): RoutingTrace {
  const [first = "", ...rest] = text.trimEnd().split("\n");
  const header = parseHeader(parseLine(first, 1));
  const steps = rest.map((line, index) => parseStep(parseLine(line, index + 2), header, index + 2));
  return { header, steps };
}

/** The distinct experts of one layer of a step, ascending. */
export function neededExperts(ids: Iterable<number>): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}

function toBytes(ids: Uint16Array, experts: number): Uint8Array {
  if (experts <= 256) return Uint8Array.from(ids);
  return Uint8Array.from([...ids].flatMap((id) => [id & 255, id >> 8]));
}

function fromBytes(bytes: Uint8Array, experts: number): Uint16Array {
  if (experts <= 256) return Uint16Array.from(bytes);
  return Uint16Array.from(
    { length: bytes.length / 2 },
    (_, i) => bytes[2 * i]! + 256 * bytes[2 * i + 1]!,
  );
}

function parseLine(line: string, number: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    value = null;
  }
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw wrong(number, `found "${line.slice(0, 40)}", wanted a JSON object`);
}

function parseHeader(line: Record<string, unknown>): TraceHeader {
  const { format, model, layers, experts, topK } = line;
  if (format !== FORMAT) throw wrong(1, `found format "${format}", wanted "${FORMAT}"`);
  const counts = [layers, experts, topK].every((n) => Number.isInteger(n) && Number(n) > 0);
  if (typeof model !== "string" || !counts || Number(topK) > Number(experts)) {
    throw wrong(1, "wanted model, layers, experts and topK of at most that many");
  }
  return { model, layers: Number(layers), experts: Number(experts), topK: Number(topK) };
}

function parseStep(
  { rows, ids }: Record<string, unknown>,
  { layers, experts, topK }: TraceHeader,
  number: number,
): RoutedStep {
  if (!Number.isInteger(rows) || !Array.isArray(ids) || ids.length !== layers) {
    throw wrong(number, `wanted rows and the ids of ${layers} layers`);
  }
  const decoded = ids.map((text: unknown) => decodeIds(text, experts, number));
  for (const layer of decoded) {
    if (layer.length !== Number(rows) * topK) {
      throw wrong(number, `found ${layer.length} ids, wanted ${topK} for each of ${rows} rows`);
    }
    const beyond = layer.find((id) => id >= experts);
    if (beyond !== undefined) throw wrong(number, `found expert ${beyond} of ${experts}`);
  }
  return { rows: Number(rows), layers: decoded };
}

function decodeIds(text: unknown, experts: number, number: number): Uint16Array {
  try {
    return fromBytes(Uint8Array.fromBase64(String(text)), experts);
  } catch {
    throw wrong(number, "found ids that are no base64");
  }
}

function wrong(line: number, reason: string): SyntaxError {
  return new SyntaxError(`Cannot read the routing trace: line ${line}: ${reason}`);
}
