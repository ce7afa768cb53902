/** Long lists as JSON, made no faster than they are read. @module */

/** Items that are written at once: a millisecond or two. */
export const ITEMS_AT_ONCE = 8192;

/**
 * The JSON of an object with the list `name` as its last member. Other requests have their turns between the pieces, and
 * nothing is made ahead of the client.
 */
export function longList<Item>(
  head: Readonly<Record<string, unknown>>,
  name: string,
  { items, json = JSON.stringify }: {
    readonly items: readonly Item[];
    readonly json?: (item: Item) => string;
  },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return ReadableStream.from(pieces(head, name, { items, json }))
    .pipeThrough(new TextEncoderStream());
}

async function* pieces<Item>(
  head: Readonly<Record<string, unknown>>,
  name: string,
  { items, json }: { readonly items: readonly Item[]; readonly json: (item: Item) => string },
): AsyncGenerator<string> {
  const open = JSON.stringify({ ...head, [name]: [] }).slice(0, -"]}".length);
  yield open;
  for (let at = 0; at < items.length; at += ITEMS_AT_ONCE) {
    const some = items.slice(at, at + ITEMS_AT_ONCE).map((item) => json(item));
    yield (at > 0 ? "," : "") + some.join(",");
    await new Promise((resolve) => setTimeout(resolve));
  }
  yield "]}";
}
