/**
 * Wraps a generator over the source as a transform stream. One value is asked of the generator for each
 * read, so that back-pressure reaches the source.
 */
export function toTransformStream<I, O>(
  transformer: (src: ReadableStream<I>) => Iterable<O> | AsyncIterable<O>,
  writableStrategy?: QueuingStrategy<I>,
  readableStrategy?: QueuingStrategy<O>,
): TransformStream<I, O> {
  const source = new TransformStream<I, I>(undefined, writableStrategy);
  const iterator = iteratorOf(transformer(source.readable));
  const readable = new ReadableStream<O>({
    async pull(controller) {
      try {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        // A locked or errored source refuses to be cancelled; the generator's error is the one to report.
        await source.readable.cancel(error).catch(() => {});
        controller.error(error);
      }
    },
    async cancel(reason) {
      // The generator hears of it as an exception at its `yield`, which it usually lets through.
      try {
        await iterator.throw?.(reason);
      } catch { /* expected */ }
      await source.readable.cancel(reason);
    },
  }, readableStrategy);
  return { writable: source.writable, readable };
}

function iteratorOf<O>(values: Iterable<O> | AsyncIterable<O>): Iterator<O> | AsyncIterator<O> {
  return Symbol.asyncIterator in values
    ? values[Symbol.asyncIterator]()
    : values[Symbol.iterator]();
}
