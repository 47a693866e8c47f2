/**
 * @typedef {{x: number, y: number}} Point In pixels of a picture, whose centres are whole numbers.
 * @typedef {{pixel_parts: number, radian_parts: number, off_ties: number}} Grid Parts of a pixel and
 *   of a radian, and how far centres are off it.
 */

/** A square of a picture, which may be turned. */
export class Crop {
  /**
   * @param {number} x Its centre, in pixels.
   * @param {number} y
   * @param {number} side Its side in pixels.
   * @param {number} angle The direction of its x axis in radians, clockwise as seen.
   */
  constructor(x, y, side, angle = 0) {
    this.x = x;
    this.y = y;
    this.side = side;
    this.angle = angle;
  }

  /**
   * A point of the crop's unit square, in pixels.
   * @param {Point} point
   * @returns {Point}
   */
  fromUnit({x, y}) {
    const cosine = this.side * Math.cos(this.angle), sine = this.side * Math.sin(this.angle);
    return {
      x: (x - 0.5) * cosine - (y - 0.5) * sine + this.x,
      y: (x - 0.5) * sine + (y - 0.5) * cosine + this.y,
    };
  }

  /**
   * A point in pixels, in the crop's unit square.
   * @param {Point} point
   * @returns {Point}
   */
  toUnit({x, y}) {
    const cosine = Math.cos(this.angle) / this.side, sine = Math.sin(this.angle) / this.side;
    const right = x - this.x, down = y - this.y;
    return {
      x: right * cosine + down * sine + 0.5,
      y: -right * sine + down * cosine + 0.5,
    };
  }

  /**
   * The nearest crop on a grid, so that numbers that differ in their last digits give the same
   * pixels: an integer model answers one other level of a pixel with other points.
   * @param {Grid} grid
   */
  on({pixel_parts: parts, radian_parts: turns, off_ties: off}) {
    const nearest = (/** @type {number} */ value, /** @type {number} */ of) =>
      Math.floor(value * of + 0.5) / of;
    return new Crop(nearest(this.x, parts) + off, nearest(this.y, parts) + off,
      Math.max(nearest(this.side, parts), 1 / parts), nearest(this.angle, turns));
  }

  /**
   * A crop that is given in this one's unit square, in pixels.
   * @param {Crop} inner
   */
  within(inner) {
    const {x, y} = this.fromUnit(inner);
    return new Crop(x, y, this.side * inner.side, this.angle + inner.angle);
  }

  /**
   * The crop in whose unit square this one is `inner`: what `within` was called on.
   * @param {Crop} inner
   */
  around(inner) {
    const turned = new Crop(0, 0, this.side / inner.side, this.angle - inner.angle);
    const {x, y} = turned.fromUnit(inner);
    return new Crop(this.x - x, this.y - y, turned.side, turned.angle);
  }
}

/**
 * The mean of points.
 * @param {readonly Point[]} points
 * @returns {Point}
 */
export function mean(points) {
  let x = 0, y = 0;
  for (const point of points) {
    x += point.x;
    y += point.y;
  }
  return {x: x / points.length, y: y / points.length};
}

/**
 * The smallest box around points.
 * @param {readonly Point[]} points
 * @returns {import("./overlap.js").Box}
 */
export function tightBox(points) {
  const xs = points.map((point) => point.x), ys = points.map((point) => point.y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
