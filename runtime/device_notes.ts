/** What was measured of devices, in a file that later starts read. @module */
import type { Gpu } from "./gpu/device.ts";
import { replaceFile } from "./replace_file.ts";

/** What a measurement holds for: another device, driver, Deno or kernel asks for another one. */
export interface DeviceKey {
  readonly adapter: string;
  readonly driver: string;
  readonly deno: string;
  /** Tells kernels apart after whose change a measurement no longer says anything. */
  readonly kernels: number | string;
}

/** The key of a device and of those kernels. */
export function deviceKey({ device, name }: Gpu, kernels: DeviceKey["kernels"]): DeviceKey {
  const { vendor, architecture, device: id, description } = device.adapterInfo;
  const driver = [vendor, architecture, id, description].join(" ");
  return { adapter: name, driver, deno: Deno.version.deno, kernels };
}

/** Devices and versions that one file remembers. */
const MOST_KEPT = 16;

/** A file of notes, one for each key. */
export class DeviceNotes<Note> {
  readonly #file: string;
  readonly #format: string;
  readonly #isNote: (value: unknown) => value is Note;

  /** `format` names what the file holds; `isNote` knows it. */
  constructor(
    file: string,
    { format, isNote }: {
      readonly format: string;
      readonly isNote: (value: unknown) => value is Note;
    },
  ) {
    this.#file = file;
    this.#format = format;
    this.#isNote = isNote;
  }

  /**
   * What an earlier run noted for this key; null if it noted nothing.
   * @throws {SyntaxError | TypeError | Error} if the file is damaged or cannot be read
   */
  read(key: DeviceKey): Note | null {
    let text: string;
    try {
      text = Deno.readTextFileSync(this.#file);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
    return this.#parse(text).get(nameOf(key)) ?? null;
  }

  /**
   * Adds a note to those of the file, which is made if it is missing and replaced if it is damaged.
   * @throws {Error} if it cannot be written
   */
  write(key: DeviceKey, note: Note): void {
    let notes = new Map<string, Note>();
    try {
      notes = this.#parse(Deno.readTextFileSync(this.#file));
    } catch { /* nothing to keep */ }
    notes.delete(nameOf(key));
    notes.set(nameOf(key), note);
    const devices = Object.fromEntries([...notes].slice(-MOST_KEPT));
    replaceFile(this.#file, JSON.stringify({ format: this.#format, devices }, null, 1));
  }

  #parse(text: string): Map<string, Note> {
    const { format, devices } = JSON.parse(text) as { format?: unknown; devices?: unknown };
    if (format !== this.#format || typeof devices !== "object" || devices === null) {
      throw new TypeError(`found format ${JSON.stringify(format)}, wanted "${this.#format}"`);
    }
    const notes = new Map<string, Note>();
    for (const [name, note] of Object.entries(devices)) {
      if (!this.#isNote(note)) throw new TypeError(`found no measurement for "${name}"`);
      notes.set(name, note);
    }
    return notes;
  }
}

function nameOf({ adapter, driver, deno, kernels }: DeviceKey): string {
  return [adapter, driver, `deno ${deno}`, `kernels ${kernels}`].join(" | ");
}
