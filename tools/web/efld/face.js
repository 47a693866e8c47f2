// A face and what is known of it (efld_tf/runtime/faces.py).
import {mean, tightBox} from "./crop.js";

/**
 * @typedef {import("./bundle.js").Schema} Schema
 * @typedef {import("./crop.js").Point} Point
 * @typedef {import("./overlap.js").Box} Box
 *
 * @typedef {object} Face
 * @property {Point[]} points The landmarks in pixels of the picture, whose centres are whole
 *   numbers, in the order of `landmarker.schema.names`.
 * @property {Box} box In photos the detector's box, in videos the tight one of the points.
 * @property {number} score The detector's, 0 to 1.
 * @property {number} confidence How sure it is that the points lie on a face, 0 to 1.
 * @property {number[]} depth How far each point is in front of their mean, in pixels; empty of a
 *   model that does not tell.
 * @property {number[]} errors How far off each point is expected to be, in pixels; empty of a model
 *   that does not tell.
 * @property {number | null} expectedNme The mean of `errors` as a share of what errors are divided
 *   by, such as the distance between the outer eye corners; null of a model that does not tell.
 * @property {number} [track] In videos the number of the person.
 */

/**
 * The expected normalised mean error of points.
 * @param {Schema} schema
 * @param {readonly Point[]} points
 * @param {readonly number[]} errors Of each point, in the points' unit; none are known if empty.
 * @returns {number | null} Null if it is not known, or if the points have no size.
 */
export function expectedNme(schema, points, errors) {
  if (!errors.length || !schema.normaliser) return null;
  const size = sizeOf(schema.normaliser, points);
  return size > 0 ? errors.reduce((a, b) => a + b) / errors.length / size : null;
}

/**
 * What errors of points are divided by.
 * @param {import("./bundle.js").Normaliser} normaliser
 * @param {readonly Point[]} points
 */
function sizeOf(normaliser, points) {
  if ("right" in normaliser) {
    const right = mean(normaliser.right.map((index) => points[index]));
    const left = mean(normaliser.left.map((index) => points[index]));
    return Math.hypot(right.x - left.x, right.y - left.y);
  }
  const [x0, y0, x1, y1] = tightBox(points), width = x1 - x0, height = y1 - y0;
  switch (normaliser.box) {
    case "box_size": return Math.sqrt(width * height);
    case "box_diagonal": return Math.hypot(width, height);
    default: return Math.max(width, height); // "image_size"
  }
}

/**
 * A face of a picture that was shrunk, in pixels of the picture itself.
 * @param {Face} face
 * @param {number} scale The picture's size by that of the shrunk one.
 * @returns {Face}
 */
export function scaled(face, scale) {
  if (scale === 1) return face;
  const place = (/** @type {number} */ value) => (value + 0.5) * scale - 0.5;
  const [x0, y0, x1, y1] = face.box;
  return {
    ...face,
    points: face.points.map(({x, y}) => ({x: place(x), y: place(y)})),
    box: [place(x0), place(y0), place(x1), place(y1)],
    depth: face.depth.map((value) => value * scale),
    errors: face.errors.map((value) => value * scale),
  };
}
