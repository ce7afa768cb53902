/** The one error of this folder. @module */

/** A snapshot that cannot be used: one line that names file and tensor, what was found and what was expected. */
export class WeightsError extends Error {
  override name = "WeightsError";
}
