/** Places labels beside points so that none covers another or a point. @module */

/** A rectangle by its centre, in pixels. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A point that wants a label of a given size. */
export interface LabelRequest {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const DIRECTIONS = 16;
const FIRST_DISTANCE = 11;
const FARTHEST = 400;
const STEP = 5;

/**
 * A place for each label: the nearest free one around its point, tried in the order given, inside `frame`.
 * @throws {RangeError} if a label finds no room
 */
export function placeLabels(
  points: readonly LabelRequest[],
  { frame, radius, others = [], gap = 2 }: {
    readonly frame: Box;
    /** Of the points, which labels keep clear of. */
    readonly radius: number;
    /** What else they keep clear of. */
    readonly others?: readonly Box[];
    /** Between labels. */
    readonly gap?: number;
  },
): Box[] {
  const dots = points.map(({ x, y }) => ({ x, y, width: 2 * radius, height: 2 * radius }));
  const placed: Box[] = [];
  for (const point of points) {
    const free = (box: Box) =>
      contains(frame, box) &&
      [...dots, ...others, ...placed].every((other) => !overlap(box, other, gap));
    const box = around(point).find(free);
    if (!box) throw new RangeError(`Cannot place a label at ${point.x}, ${point.y}: no room`);
    placed.push(box);
  }
  return placed;
}

/** Whether two boxes come closer than `gap`. */
export function overlap(a: Box, b: Box, gap = 0): boolean {
  return Math.abs(a.x - b.x) * 2 < a.width + b.width + 2 * gap &&
    Math.abs(a.y - b.y) * 2 < a.height + b.height + 2 * gap;
}

/** Whether `inner` lies in `outer`. */
export function contains(outer: Box, inner: Box): boolean {
  return Math.abs(inner.x - outer.x) * 2 <= outer.width - inner.width &&
    Math.abs(inner.y - outer.y) * 2 <= outer.height - inner.height;
}

/** Places around a point, nearest first; right and left before above and below. */
function around({ x, y, width, height }: LabelRequest): Box[] {
  const boxes: Box[] = [];
  for (let distance = FIRST_DISTANCE; distance < FARTHEST; distance += STEP) {
    for (let i = 0; i < DIRECTIONS; i++) {
      // 0, then to either side, so that neighbours of a taken place come next.
      const angle = (i % 2 ? 1 : -1) * Math.ceil(i / 2) * 2 * Math.PI / DIRECTIONS;
      const [dx, dy] = [Math.cos(angle), -Math.sin(angle)];
      boxes.push({
        x: x + dx * (distance + width / 2 - 6),
        y: y + dy * (distance + height / 2 - 6),
        width,
        height,
      });
    }
  }
  return boxes;
}
