/** Reads a JSON object field by field and says in one line what is wrong with it. @module */

/** A model folder's JSON that cannot be served. */
export class ConfigError extends Error {
  override name = "ConfigError";
  /**
   * @param file name of the JSON file
   * @param field path of the field, dotted
   * @param found what stands there, as text
   * @param wanted what would be accepted, as text
   */
  constructor(
    readonly file: string,
    readonly field: string,
    readonly found: string,
    readonly wanted: string,
  ) {
    super(`Cannot use ${file}: "${field}" is ${found}, expected ${wanted}`);
  }
}

/** Bounds of a whole number. */
export interface IntegerRule {
  /** Smallest accepted value; 1 unless given. */
  readonly min?: number;
  /** Largest accepted value; 2^31 - 1 unless given. */
  readonly max?: number;
  /** The value must be divisible by this. */
  readonly multipleOf?: number;
  /** The value must be a power of two. */
  readonly powerOfTwo?: boolean;
  /** Stands in for a missing or null field; without it the field is required. */
  readonly fallback?: number;
}

/** Bounds of a real number. */
export interface NumberRule {
  /** Exclusive lower bound. */
  readonly above?: number;
  /** Inclusive lower bound. */
  readonly atLeast?: number;
  /** Inclusive upper bound. */
  readonly atMost?: number;
  /** Stands in for a missing or null field; without it the field is required. */
  readonly fallback?: number;
}

/** One JSON object under its path; every reader throws {@link ConfigError} on an unfit value. */
export class Fields {
  readonly #file: string;
  readonly #path: string;
  readonly #object: Readonly<Record<string, unknown>>;

  /** @throws {ConfigError} unless `value` is a JSON object. */
  constructor(file: string, path: string, value: unknown) {
    if (!isObject(value)) {
      throw new ConfigError(file, path || "(top level)", show(value), "an object");
    }
    this.#file = file;
    this.#path = path;
    this.#object = value;
  }

  /** Whether the field is there and not null. */
  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  /** The value as it stands; undefined when missing or null. */
  raw(name: string): unknown {
    return this.#object[name] ?? undefined;
  }

  /** The object below `name`. */
  child(name: string): Fields {
    return new Fields(this.#file, this.#dotted(name), this.#object[name]);
  }

  /** A whole number that obeys `rule`. */
  integer(name: string, rule: IntegerRule = {}): number {
    const value = this.raw(name) ?? rule.fallback;
    const { min = 1, max = 2 ** 31 - 1, multipleOf = 1, powerOfTwo = false } = rule;
    const fits = typeof value === "number" && Number.isInteger(value) && value >= min &&
      value <= max && value % multipleOf === 0 && (!powerOfTwo || (value & (value - 1)) === 0);
    if (fits) return value;
    throw this.error(name, describeInteger(min, max, multipleOf, powerOfTwo));
  }

  /** A finite number that obeys `rule`. */
  number(name: string, rule: NumberRule = {}): number {
    const value = this.raw(name) ?? rule.fallback;
    const { above = -Infinity, atLeast = -Infinity, atMost = Infinity } = rule;
    const fits = typeof value === "number" && Number.isFinite(value) && value > above &&
      value >= atLeast && value <= atMost;
    if (fits) return value;
    const bounds = [
      above > -Infinity && `above ${above}`,
      atLeast > -Infinity && `at least ${atLeast}`,
      atMost < Infinity && `at most ${atMost}`,
    ].filter((bound) => bound !== false);
    throw this.error(name, `a number ${bounds.join(" and ")}`.trimEnd());
  }

  /** One of the given strings. */
  choice<T extends string>(name: string, options: readonly T[], fallback?: T): T {
    const value = this.raw(name) ?? fallback;
    const found = options.find((option) => option === value);
    if (found !== undefined) return found;
    throw this.error(name, options.map((option) => JSON.stringify(option)).join(" or "));
  }

  /** true or false. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.raw(name) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.error(name, "true or false");
  }

  /** A flag of which only one value is supported. */
  must(name: string, only: boolean): void {
    if (this.flag(name, only) !== only) {
      throw this.error(name, `${only} (nothing else is supported)`);
    }
  }

  /** Whole numbers >= 0, given as one number or a list; empty when missing. */
  integers(name: string): readonly number[] {
    const value = this.raw(name);
    if (value === undefined) return [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (list.every((item) => typeof item === "number" && Number.isInteger(item) && item >= 0)) {
      return Object.freeze(list.map(Number));
    }
    throw this.error(name, "a whole number or a list of them, each at least 0");
  }

  /** The error for a field whose value does not fit. */
  error(name: string, wanted: string): ConfigError {
    return new ConfigError(this.#file, this.#dotted(name), show(this.#object[name]), wanted);
  }

  #dotted(name: string): string {
    return this.#path === "" ? name : `${this.#path}.${name}`;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}

function describeInteger(min: number, max: number, multipleOf: number, power: boolean): string {
  const kind = power
    ? "a power of two"
    : multipleOf > 1
    ? `a multiple of ${multipleOf}`
    : "a whole number";
  return max === 2 ** 31 - 1 ? `${kind}, at least ${min}` : `${kind} from ${min} to ${max}`;
}
