/** Lets the machine's adapter pass for another one, in tests of devices that are not at hand. @module */

/** What the adapter is to look like. */
export interface Disguise {
  /** Limits that are lower than its own. */
  readonly limits?: Partial<Record<keyof GPUSupportedLimits, number>>;
  /** A GPU's name: shaders seem not to run on the CPU. */
  readonly gpu?: string;
}

/** Every adapter and device that is opened looks so, until this is disposed of; devices keep to the limits. */
export function disguise({ limits = {}, gpu }: Disguise): Disposable {
  const restored = [
    override(GPUAdapter.prototype, "limits", (own: GPUSupportedLimits) =>
      new Proxy(own, {
        get: (target, name) =>
          limits[name as keyof GPUSupportedLimits] ?? Reflect.get(target, name),
      })),
    ...(gpu === undefined ? [] : [
      override(GPUAdapterInfo.prototype, "isFallbackAdapter", () => false),
      override(GPUAdapterInfo.prototype, "description", () => gpu),
    ]),
  ];
  return { [Symbol.dispose]: () => restored.forEach((restore) => restore()) };
}

/** Puts `other` between a getter and whoever reads it; returns what takes it away. */
function override<T>(prototype: object, name: string, other: (own: T) => unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(prototype, name)!;
  Object.defineProperty(prototype, name, {
    ...own,
    get() {
      return other(own.get!.call(this) as T);
    },
  });
  return () => Object.defineProperty(prototype, name, own);
}
