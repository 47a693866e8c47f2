/** @typedef {[x0: number, y0: number, x1: number, y1: number]} Box In pixels. */

/**
 * Intersection over union of two boxes.
 * @param {Box} a
 * @param {Box} b
 */
export function iou(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const common = Math.max(width, 0) * Math.max(height, 0);
  const union = area(a) + area(b) - common;
  return union > 0 ? common / union : 0;
}

/** @param {Box} box */
function area([x0, y0, x1, y1]) {
  return Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
}

/**
 * The square with a box's middle and its longest side.
 * @param {Box} box
 * @returns {Box}
 */
export function squared([x0, y0, x1, y1]) {
  const half = Math.max(x1 - x0, y1 - y0) / 2, x = (x0 + x1) / 2, y = (y0 + y1) / 2;
  return [x - half, y - half, x + half, y + half];
}
