/** A registry of meters that are made when they are first asked for. @module */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Meters by name; asking twice for one gives the same. */
export class Meters {
  readonly #registry = new Registry();

  /** `labels` stand on every sample. */
  constructor(labels: Readonly<Record<string, string>>) {
    this.#registry.setDefaultLabels(labels);
  }

  counter<Label extends string>(name: string, help: string, label?: Label): Counter<Label> {
    return this.#registry.getSingleMetric(name) as Counter<Label> | undefined ??
      new Counter({
        name,
        help,
        labelNames: label === undefined ? [] : [label],
        registers: [this.#registry],
      });
  }

  gauge(name: string, help: string, labelNames: string[] = []): Gauge {
    return this.#registry.getSingleMetric(name) as Gauge | undefined ??
      new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  histogram(name: string, help: string, buckets: number[]): Histogram {
    return this.#registry.getSingleMetric(name) as Histogram | undefined ??
      new Histogram({ name, help, buckets, registers: [this.#registry] });
  }

  /** All samples in the text format. */
  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}
