/** Fills free slots with the experts that earlier runs used most, while nobody asks for anything. @module */
import type { ExpertPlace, HeatMap } from "./heat.ts";
import type { ExpertPager } from "./pager.ts";

/** A warm start under way. */
export class WarmStart {
  readonly #pager: ExpertPager;
  readonly #rest: Iterator<ExpertPlace>;

  constructor(pager: ExpertPager, heat: HeatMap) {
    this.#pager = pager;
    this.#rest = heat.hottest();
  }

  /**
   * Loads one expert, the hottest that is not resident and whose layer has a free slot, and tells whether there
   * may be more. Nothing is evicted for it. An expert that cannot be loaded is left to the request that needs it.
   */
  readonly next = async (): Promise<boolean> => {
    for (;;) {
      const { done, value } = this.#rest.next();
      if (done) return false;
      if (await this.#pager.loadAhead(value.layer, value.expert)) return true;
    }
  };
}
