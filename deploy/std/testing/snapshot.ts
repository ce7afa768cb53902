/**
 * The part of `@std/testing/snapshot` that this project's tests use. Signatures and file format are those of
 * the real package: `deno test -A FILE -- --update` writes `__snapshots__/FILE.snap`.
 * @module
 */
import { AssertionError } from "@std/assert";

interface Book {
  readonly path: string;
  readonly entries: Map<string, string>;
  readonly seen: Map<string, number>;
}

const books = new Map<string, Promise<Book>>();

/** Throws unless `actual` looks as recorded under the name of the running test. */
export async function assertSnapshot<T>(
  context: Deno.TestContext,
  actual: T,
  message?: string,
): Promise<void> {
  const book = await bookOf(context.origin);
  const name = fullName(context);
  const count = (book.seen.get(name) ?? 0) + 1;
  book.seen.set(name, count);
  const key = `${name} ${count}`;
  const text = serialize(actual);
  if (Deno.args.some((argument) => argument === "--update" || argument === "-u")) {
    book.entries.set(key, text);
    await write(book);
    return;
  }
  const expected = book.entries.get(key);
  if (expected === undefined) throw new AssertionError(`Missing snapshot: ${key}`);
  if (expected !== text) {
    throw new AssertionError(
      `${message ?? "Snapshot does not match"}: ${key}\nactual: ${text}\nexpected: ${expected}`,
    );
  }
}

/** How a value is written down: like `console.log`, but whole, sorted and on many lines. */
export function serialize(actual: unknown): string {
  return Deno.inspect(actual, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
    breakLength: Infinity,
    escapeSequences: false,
  }).replaceAll("\r", "\\r");
}

function bookOf(origin: string): Promise<Book> {
  let book = books.get(origin);
  if (!book) books.set(origin, book = open(origin));
  return book;
}

async function open(origin: string): Promise<Book> {
  const url = new URL(`./__snapshots__/${origin.split("/").at(-1)}.snap`, origin);
  const entries = new Map<string, string>();
  try {
    const { snapshot } = await import(url.href);
    for (const [key, text] of Object.entries<string>(snapshot)) {
      // A text of several lines is written with a line break at either end.
      entries.set(key, text.includes("\n") ? text.slice(1, -1) : text);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // no such file yet
  }
  return { path: decodeURIComponent(url.pathname), entries, seen: new Map() };
}

async function write(book: Book): Promise<void> {
  const parts = ["export const snapshot = {};"];
  for (const key of [...book.entries.keys()].sort()) {
    const text = escaped(book.entries.get(key) ?? "");
    parts.push(
      `snapshot[\`${escaped(key)}\`] = \`${text.includes("\n") ? `\n${text}\n` : text}\`;`,
    );
  }
  await Deno.mkdir(book.path.slice(0, book.path.lastIndexOf("/")), { recursive: true });
  await Deno.writeTextFile(book.path, parts.join("\n\n") + "\n");
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("`", "\\`").replaceAll("$", "\\$");
}

function fullName(context: { name: string; parent?: unknown }): string {
  const parent = context.parent as { name: string } | undefined;
  return parent ? `${fullName(parent)} > ${context.name}` : context.name;
}
