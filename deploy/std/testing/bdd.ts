/**
 * The part of `@std/testing/bdd` that this project's tests use. Signatures are those of the real package:
 * the outermost `describe` is a test, what it holds are its steps.
 * @module
 */

type Body = (context: Deno.TestContext) => void | Promise<void>;
type Hook = () => void | Promise<void>;

interface Suite {
  readonly name: string;
  readonly children: (Suite | { readonly name: string; readonly body: Body })[];
  readonly before: Hook[];
  readonly after: Hook[];
}

let current: Suite | undefined;

/** A group of tests. */
export function describe(name: string, fn: () => void): void {
  const parent = current;
  const suite: Suite = { name, children: [], before: [], after: [] };
  current = suite;
  try {
    fn();
  } finally {
    current = parent;
  }
  if (parent) parent.children.push(suite);
  else Deno.test(name, (context) => runSuite(suite, context, [], []));
}

/** One test. */
export function it(name: string, fn: Body): void {
  if (current) current.children.push({ name, body: fn });
  else Deno.test(name, fn);
}

/** Runs `fn` before each test of the group, outer groups first. */
export function beforeEach(fn: Hook): void {
  group("beforeEach").before.push(fn);
}

/** Runs `fn` after each test of the group, also after a failure, inner groups first. */
export function afterEach(fn: Hook): void {
  group("afterEach").after.push(fn);
}

function group(hook: string): Suite {
  if (!current) throw new Error(`Cannot call ${hook}() outside describe()`);
  return current;
}

async function runSuite(
  suite: Suite,
  context: Deno.TestContext,
  outerBefore: readonly Hook[],
  outerAfter: readonly Hook[],
): Promise<void> {
  const before = [...outerBefore, ...suite.before];
  const after = [...suite.after, ...outerAfter];
  for (const child of suite.children) {
    await context.step(child.name, async (step) => {
      if ("children" in child) return await runSuite(child, step, before, after);
      try {
        for (const hook of before) await hook();
        await child.body(step);
      } finally {
        for (const hook of after) await hook();
      }
    });
  }
}
