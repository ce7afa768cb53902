/** The server's own counters. @module */

/** The values of GET /metrics by name, without the prefix `deltapage_` and without labels; of several series the last. */
export async function readMetrics(base: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${base}/metrics`)).text();
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, value] = line.match(/^(?:deltapage_)?([\w:]+)(?:\{.*\})? (\S+)$/) ?? [];
    if (name !== undefined) values.set(name, Number(value));
  }
  return values;
}
