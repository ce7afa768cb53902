/** Fills free slots with the experts that earlier runs used most, while nobody asks for anything. @module */
import type { ExpertPlace, HeatMap } from "./heat.ts";
import type { ExpertPager } from "./pager.ts";

/** A warm start under way. */
export class WarmStart {
  readonly #pager: ExpertPager;
  readonly #rest: Iterator<ExpertPlace>;

  /** Loads what `heat` names, then `more`. */
  constructor(
    pager: ExpertPager,
    heat: Pick<HeatMap, "hottest">,
    more: Iterable<ExpertPlace> = [],
  ) {
    this.#pager = pager;
    this.#rest = chain(heat.hottest(), more);
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

/** Every expert of every layer. */
export function* allPlaces(
  { layers, experts }: { readonly layers: number; readonly experts: number },
): Generator<ExpertPlace> {
  for (let expert = 0; expert < experts; expert++) {
    for (let layer = 0; layer < layers; layer++) yield { layer, expert };
  }
}

function* chain(first: Iterable<ExpertPlace>, then: Iterable<ExpertPlace>): Generator<ExpertPlace> {
  yield* first;
  yield* then;
}
