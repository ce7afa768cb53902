/**
 * The part of `@std/testing/time` that this project's tests use. Signatures are those of the real package.
 * @module
 */

/** An error in the use of {@linkcode FakeTime}. */
export class TimeError extends Error {
  override name = "TimeError";
}

interface Timer {
  readonly id: number;
  readonly callback: (...args: unknown[]) => unknown;
  readonly args: unknown[];
  readonly intervalMs: number | null;
  due: number;
}

const real = {
  Date: globalThis.Date,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
};
let current: FakeTime | undefined;

/** Replaces Date and the timers by ones that move only when told to; `using` puts the real ones back. */
export class FakeTime {
  readonly start: number;
  #now: number;
  #nextId = 1;
  readonly #timers = new Map<number, Timer>();

  constructor(start?: number | string | Date | null) {
    if (current) throw new TimeError("Cannot construct FakeTime: time is faked already");
    this.start = this.#now = start === undefined || start === null
      ? real.Date.now()
      : new real.Date(start).valueOf();
    current = this;
    Object.assign(globalThis, {
      Date: fakeDate(() => this.#now),
      setTimeout: this.#starter(false),
      setInterval: this.#starter(true),
      clearTimeout: (id?: number) => void this.#timers.delete(id ?? 0),
      clearInterval: (id?: number) => void this.#timers.delete(id ?? 0),
    });
  }

  /** Milliseconds since the epoch, as faked code sees them. */
  get now(): number {
    return this.#now;
  }

  /** Moves time by `ms`, running in order whatever falls due. */
  tick(ms = 0): void {
    const end = this.#now + ms;
    for (let timer = this.#first(end); timer; timer = this.#first(end)) this.#run(timer);
    this.#now = end;
  }

  /** Like `tick`, but lets pending promises settle before, between and after. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    const end = this.#now + ms;
    for (let timer = this.#first(end); timer; timer = this.#first(end)) {
      this.#run(timer);
      await this.runMicrotasks();
    }
    this.#now = end;
  }

  /** Lets pending promises settle. */
  async runMicrotasks(): Promise<void> {
    await new Promise((resolve) => real.setTimeout(resolve, 0));
  }

  /** Puts the real clock and timers back. */
  restore(): void {
    if (current !== this) throw new TimeError("Cannot restore time: it is restored already");
    Object.assign(globalThis, real);
    this.#timers.clear();
    current = undefined;
  }

  [Symbol.dispose](): void {
    if (current === this) this.restore();
  }

  #starter(repeats: boolean) {
    return (callback: Timer["callback"], ms = 0, ...args: unknown[]): number => {
      const id = this.#nextId++;
      const delay = Math.max(0, ms);
      this.#timers.set(id, {
        id,
        callback,
        args,
        intervalMs: repeats ? Math.max(1, delay) : null,
        due: this.#now + delay,
      });
      return id;
    };
  }

  #first(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers.values()) {
      if (timer.due <= end && (!first || timer.due < first.due)) first = timer;
    }
    return first;
  }

  #run(timer: Timer): void {
    this.#now = Math.max(this.#now, timer.due);
    if (timer.intervalMs === null) this.#timers.delete(timer.id);
    else timer.due += timer.intervalMs;
    timer.callback.apply(null, timer.args);
  }
}

function fakeDate(now: () => number): DateConstructor {
  return class extends real.Date {
    constructor(...args: unknown[]) {
      super(...(args.length === 0 ? [now()] : args) as [number]);
    }
    static override now = now;
  } as DateConstructor;
}
