/** The one error of this folder. @module */

/** A snapshot that cannot be used: one line that names file and tensor, what was found and what was expected. */
export class WeightsError extends Error {
  override name = "WeightsError";
  constructor(message: string, options?: ErrorOptions) {
    // Reasons quoted from the runtime may span lines; a log line may not.
    super(message.replace(/\s*\n\s*/g, " "), options);
  }
}
