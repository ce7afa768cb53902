/** Remembers in `--cache-dir` which experts are used, and loads them first when the engine starts again. @module */
import { type HeatHeader, HeatMap } from "../experts/heat.ts";
import { allPlaces, WarmStart } from "../experts/warm_start.ts";
import { type EngineOptions, OptionError } from "../options.ts";
import { replaceFile } from "../replace_file.ts";
import { readReason } from "../../weights/mod.ts";
import type { BuiltRunner } from "./build.ts";
import type { EngineCore } from "./core.ts";

/** Whose warmth, and where it is kept. */
export interface WarmthOptions extends Pick<EngineOptions, "warm" | "cacheDir"> {
  readonly header: HeatHeader;
  /** Takes warnings. */
  readonly log: (line: string) => void;
}

/** The use of experts over several runs. */
export class Warmth {
  readonly #options: WarmthOptions;
  readonly #heat: HeatMap;
  #counted = false;

  /**
   * Reads the heat map of `--warm`, else the one that an earlier run left in `--cache-dir`.
   * @throws {OptionError} if the file of `--warm` cannot be used; one in the folder is then left alone
   */
  constructor(options: WarmthOptions) {
    this.#options = options;
    this.#heat = new HeatMap(options.header);
    const { warm, cacheDir, log } = options;
    const file = warm ?? (cacheDir === null ? null : this.#file(cacheDir));
    if (file === null) return;
    try {
      this.#heat.addAged(HeatMap.parse(Deno.readTextFileSync(file)));
    } catch (error) {
      const reason = readReason(error);
      if (warm !== null) throw new OptionError(`Cannot read --warm "${file}": ${reason}`);
      const missing = error instanceof Deno.errors.NotFound;
      if (!missing) log(`warning: no warm start from "${file}": ${reason}`);
    }
  }

  /**
   * Counts from now on, and loads the hottest experts into free slots while `core` has nothing to run; where host memory
   * has a place for every expert, the others too.
   */
  attach(
    { pager, stage, residency }: Pick<BuiltRunner, "pager" | "stage" | "residency">,
    core: EngineCore,
  ): void {
    if (!pager || !stage) return;
    const more = residency?.mode === "host" ? allPlaces(this.#heat.header) : [];
    core.whenIdle(new WarmStart(pager, this.#heat, more).next);
    if (this.#options.cacheDir === null) return;
    stage.watch((layer, ids) => {
      this.#counted = true;
      this.#heat.add(layer, ids);
    }, { all: false });
  }

  /** Writes the counts into `--cache-dir`, unless there is nothing new or nothing may be written. */
  save(): void {
    const { cacheDir, log } = this.#options;
    if (cacheDir === null || !this.#counted) return;
    const file = this.#file(cacheDir);
    try {
      replaceFile(file, this.#heat.format());
    } catch (error) {
      // A full disk at exit costs the next start its warmth, nothing else.
      log(`warning: the heat map was not written to "${file}": ${(error as Error).message}`);
    }
  }

  #file(cacheDir: string): string {
    return `${cacheDir}/heat-${this.#options.header.model}.json`;
  }
}
