/** The shape of the tree: who may import whom, how long a file may be, what stands at the top. @module */
import { assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

/** Folders whose files are not held to the rules of the source. */
const FOREIGN = ["weights/demo", "node_modules", ".git"];

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

function* walk(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(new URL(folder || ".", ROOT))) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (FOREIGN.includes(path) || entry.name.startsWith(".")) continue;
    if (entry.isDirectory) yield* walk(path);
    else yield path;
  }
}

const files: SourceFile[] = [...walk("")]
  .filter((path) => /\.(ts|wgsl|py)$/.test(path))
  .map((path) => ({ path, text: Deno.readTextFileSync(new URL(path, ROOT)) }));

/** Paths, from the root, of the project's files whose values a file imports on one line. */
function importsOf({ path, text }: SourceFile): string[] {
  return allImportsOf({ path, text: text.replaceAll(/^import type .*$/gm, "") });
}

/** The same, types included. */
function allImportsOf({ path, text }: SourceFile): string[] {
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) =>
    match[1]!
  );
  return specifiers.map((specifier) =>
    new URL(specifier, new URL(path, ROOT)).href.slice(ROOT.href.length)
  );
}

/** The first circle of imports that a search from `path` meets, as the files on it; null if there is none. */
function circleFrom(
  path: string,
  imports: ReadonlyMap<string, readonly string[]>,
  seen: Set<string>,
  way: readonly string[] = [],
): string[] | null {
  const begin = way.indexOf(path);
  if (begin >= 0) return [...way.slice(begin), path];
  if (seen.has(path)) return null;
  seen.add(path);
  for (const target of imports.get(path) ?? []) {
    const circle = circleFrom(target, imports, seen, [...way, path]);
    if (circle) return circle;
  }
  return null;
}

function offences(within: string, allowed: (target: string, from: string) => boolean): string[] {
  return files.filter(({ path }) => path.startsWith(within)).flatMap((file) =>
    importsOf(file).filter((target) => !allowed(target, file.path)).map((target) =>
      `${file.path} imports ${target}`
    )
  );
}

Deno.test("shaders/ imports nothing outside itself", () => {
  assertEquals(offences("shaders/", (target) => target.startsWith("shaders/")), []);
});

Deno.test("weights/ imports nothing outside itself", () => {
  assertEquals(offences("weights/", (target) => target.startsWith("weights/")), []);
});

Deno.test("runtime/ imports runtime/, shaders/ and weights/ only", () => {
  assertEquals(offences("runtime/", (target) => /^(runtime|shaders|weights)\//.test(target)), []);
});

Deno.test("routes/ knows the engine by runtime/mod.ts alone", () => {
  assertEquals(
    offences("routes/", (target) => target.startsWith("routes/") || target === "runtime/mod.ts"),
    [],
  );
});

Deno.test("no files import each other in a circle", () => {
  const imports = new Map(files.map((file) => [file.path, allImportsOf(file)]));
  const seen = new Set<string>();
  assertEquals([...imports.keys()].flatMap((path) => circleFrom(path, imports, seen) ?? []), []);
});

Deno.test("nothing but tests and other plain loops imports a naive twin", () => {
  const naive = (path: string) => /(^|\/)naive[^/]*\.ts$/.test(path);
  const source = files.filter(({ path }) => !path.startsWith("tests/") && !naive(path));
  const wrong = source.flatMap((file) =>
    importsOf(file).filter(naive).map((target) => `${file.path} imports ${target}`)
  );
  assertEquals(wrong, []);
});

Deno.test("no file is longer than 400 lines, no shader longer than 250", () => {
  const long = files.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ path, lines }) => lines > (path.endsWith(".wgsl") ? 250 : 400));
  assertEquals(long, []);
});

Deno.test("the top level holds what the layout names and nothing else", () => {
  const allowed = [
    "LICENSE",
    "README.md",
    "deno.json",
    "deno.lock",
    "deploy",
    "main.ts",
    "routes",
    "runtime",
    "shaders",
    "tests",
    "weights",
  ];
  const found = [...Deno.readDirSync(ROOT)].map(({ name }) => name).filter((name) =>
    !name.startsWith(".")
  );
  assertEquals(found.filter((name) => !allowed.includes(name)), []);
});
