/** Processor time of this process: what other processes take of the machine does not count. @module */

const TASKS = "/proc/self/task";

/** Seconds that all threads together have run so far; null where the system does not tell. */
export function cpuSeconds(): number | null {
  let nanoseconds = 0;
  try {
    for (const { name } of Deno.readDirSync(TASKS)) nanoseconds += threadNanoseconds(name);
  } catch {
    return null;
  }
  return nanoseconds > 0 ? nanoseconds / 1e9 : null;
}

/** The processor time that `work` takes; null where that cannot be told. */
export async function cpuTimeOf(work: () => Promise<unknown>): Promise<number | null> {
  const before = cpuSeconds();
  await work();
  const after = cpuSeconds();
  return before === null || after === null ? null : after - before;
}

function threadNanoseconds(thread: string): number {
  try {
    return Number(Deno.readTextFileSync(`${TASKS}/${thread}/schedstat`).split(" ")[0]);
  } catch {
    return 0; // it has just ended
  }
}
