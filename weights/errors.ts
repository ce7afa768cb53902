/** The one error of this folder, and why files cannot be read. @module */

/** A snapshot that cannot be used: one line that names file and tensor, what was found and what was expected. */
export class WeightsError extends Error {
  override name = "WeightsError";
  constructor(message: string, options?: ErrorOptions) {
    // Reasons quoted from the runtime may span lines; a log line may not.
    super(message.replace(/\s*\n\s*/g, " "), options);
  }
}

/** Why a file could not be opened or read, to stand behind its name: the system's words without number and call. */
export function readReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  const text = error instanceof Error ? error.message : String(error);
  const reason = text.replace(/ \(os error \d+\).*$/s, "");
  return reason === text ? text : reason.charAt(0).toLowerCase() + reason.slice(1);
}
