/**
 * How often each expert of each layer was chosen: what a warm start loads first. As text one line of JSON:
 *
 *     {"format":"deltapage-heat-1","model":"demo","layers":2,"experts":3,"counts":[[5,0,1],[0,2,2]]}
 * @module
 */

/** Whose experts are counted. */
export interface HeatHeader {
  /** Where the counts come from, for people. */
  readonly model: string;
  readonly layers: number;
  /** Experts of a layer. */
  readonly experts: number;
}

/** One expert of one layer. */
export interface ExpertPlace {
  readonly layer: number;
  readonly expert: number;
}

const FORMAT = "deltapage-heat-1";

/** What counts of an earlier run weigh beside new ones. */
const AGED = 0.5;

/** Counts of choices, layer by layer. */
export class HeatMap {
  readonly header: HeatHeader;
  readonly #counts: readonly Float64Array[];

  constructor(header: HeatHeader) {
    this.header = header;
    this.#counts = Array.from({ length: header.layers }, () => new Float64Array(header.experts));
  }

  /** Counts the choices of one layer of a step. */
  readonly add = (layer: number, ids: ArrayLike<number>): void => {
    const counts = this.#counts[layer]!;
    for (let i = 0; i < ids.length; i++) counts[ids[i]!]!++;
  };

  /** Adds the counts of an earlier run at half their weight. @throws {RangeError} for other sizes */
  addAged(earlier: HeatMap): void {
    const { layers, experts } = this.header;
    if (earlier.header.layers !== layers || earlier.header.experts !== experts) {
      throw new RangeError(
        `Cannot use a heat map: found ${earlier.header.layers} layers of ${earlier.header.experts} ` +
          `experts, wanted ${layers} of ${experts}`,
      );
    }
    this.#counts.forEach((counts, layer) =>
      earlier.#counts[layer]!.forEach((count, expert) => {
        counts[expert]! += AGED * count;
      })
    );
  }

  /** Whether nothing was counted. */
  isEmpty(): boolean {
    return this.#counts.every((counts) => counts.every((count) => count === 0));
  }

  /** Experts that were chosen at all: the hottest of every layer, then the second of every layer, and so on. */
  *hottest(): Generator<ExpertPlace> {
    const orders = this.#counts.map((counts) =>
      [...counts.keys()].filter((expert) => counts[expert]! > 0)
        .sort((a, b) => counts[b]! - counts[a]! || a - b)
    );
    for (let rank = 0; rank < this.header.experts; rank++) {
      for (const [layer, order] of orders.entries()) {
        const expert = order[rank];
        if (expert !== undefined) yield { layer, expert };
      }
    }
  }

  /** The counts as text, rounded down: what is not used again is forgotten. */
  format(): string {
    const { model, layers, experts } = this.header;
    const counts = this.#counts.map((layer) => [...layer].map(Math.floor));
    return JSON.stringify({ format: FORMAT, model, layers, experts, counts }) + "\n";
  }

  /** @throws {SyntaxError} for text that is no heat map */
  static parse(text: string): HeatMap {
    const { format, model, layers, experts, counts } = parseObject(text);
    if (format !== FORMAT) throw wrong(`found format "${format}", wanted "${FORMAT}"`);
    const sizes = [layers, experts].every((n) => Number.isInteger(n) && Number(n) > 0);
    if (!sizes || !Array.isArray(counts) || counts.length !== layers) {
      throw wrong("wanted layers, experts and the counts of every layer");
    }
    const map = new HeatMap({
      model: String(model),
      layers: Number(layers),
      experts: Number(experts),
    });
    counts.forEach((layer: unknown, index) => {
      if (!isCounts(layer, Number(experts))) {
        throw wrong(`layer ${index}: wanted ${experts} counts, none below 0`);
      }
      map.#counts[index]!.set(layer);
    });
    return map;
  }
}

function isCounts(layer: unknown, experts: number): layer is number[] {
  return Array.isArray(layer) && layer.length === experts &&
    layer.every((count) => Number.isFinite(count) && count >= 0);
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch { /* told below */ }
  throw wrong(`found ${JSON.stringify(text.slice(0, 40))}, wanted a JSON object`);
}

function wrong(reason: string): SyntaxError {
  return new SyntaxError(`Cannot read the heat map: ${reason}`);
}
