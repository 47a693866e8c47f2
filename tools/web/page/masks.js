// Where each product goes, as triangles whose corners have a coverage from 0 to 1.
import {between, length, mean, minus, plus, times, unit} from "./parts.js";

/**
 * @typedef {import("./parts.js").Point} Point
 * @typedef {import("./parts.js").Parts} Parts
 *
 * @typedef {object} Mesh
 * @property {number} channel Which of the masks' channels it is drawn into.
 * @property {number[]} vertices x, y in pixels and coverage of one corner after another.
 */

/** The channels of the masks, four in each of two textures. */
export const CHANNELS = Object.freeze({
  lips: 0, gloss: 1, shadow: 2, liner: 3, brows: 4, blush: 5, skin: 6, bare: 7,
});

/** What of the way from the outer to the inner edge of a lip is covered, and how much. */
const LIP = Object.freeze([[-0.06, 0], [0.1, 1], [0.9, 1], [1.05, 0]]);
/** From the lashes upwards, in shares of the way to the eyebrow. */
const SHADOW = Object.freeze([[0, 0], [0.05, 1], [0.3, 0.8], [0.55, 0.35], [0.8, 0]]);

/**
 * The meshes of all products on a face.
 * @param {Parts} parts
 * @returns {Mesh[]}
 */
export function meshesOf(parts) {
  /** @type {Mesh[]} */
  const meshes = [];
  const add = (/** @type {number} */ channel, /** @type {number[][]} */ ...vertices) =>
    meshes.push({channel, vertices: vertices.flat()});
  add(CHANNELS.skin, filled(parts.outline, [[0, 1], [0.8, 1], [1, 0]]));
  for (const {centre, u, v} of parts.cheeks) add(CHANNELS.blush, ellipse(centre, u, v));
  if (parts.lips) {
    const {outer, inner} = parts.lips;
    const upper = closing(outer.upper, inner.upper, inner.lower);
    const lower = closing(outer.lower, inner.lower, inner.upper);
    add(CHANNELS.lips, banded(outer.upper, upper, LIP), banded(outer.lower, lower, LIP));
    add(CHANNELS.gloss, banded(outer.lower, inner.lower,
      [[0.3, 0], [0.5, 1], [0.6, 1], [0.8, 0]], (s) => bump((s - 0.5) / 0.32)));
    add(CHANNELS.bare, filled([...outer.upper, ...[...outer.lower].reverse()],
      [[0, 1], [1, 1], [1.15, 0]]));
  }
  for (const eye of parts.eyes) {
    add(CHANNELS.bare, filled([...eye.upper, ...[...eye.lower].reverse()],
      [[0, 1], [1.05, 1], [1.5, 0]]));
    add(CHANNELS.shadow, shadow(eye, parts));
    add(CHANNELS.liner, liner(eye, parts));
  }
  for (const {upper, lower} of parts.brows) {
    const soft = [[-0.2, 0], [0.15, 1], [0.85, 1], [1.2, 0]];
    const ends = (/** @type {number} */ s) => Math.min(1, s / 0.12, (1 - s) / 0.12);
    add(CHANNELS.brows, banded(upper, lower, soft, ends));
    add(CHANNELS.bare, banded(upper, lower, soft));
  }
  return meshes;
}

/**
 * The inner edge of a lip, which is covered up to the other one where the lips touch.
 * @param {readonly Point[]} outer
 * @param {readonly Point[]} inner
 * @param {readonly Point[]} other The inner edge of the other lip.
 */
function closing(outer, inner, other) {
  return inner.map((point, index) => {
    const thick = length(minus(point, outer[index])) || 1;
    const open = Math.min(1, length(minus(other[index], point)) / (0.3 * thick));
    return between(outer[index], point, 1 + 0.16 * (1 - open));
  });
}

/**
 * From the lashes towards the eyebrow, and a little beyond the outer corner.
 * @param {import("./parts.js").Eye} eye
 * @param {Parts} parts
 */
function shadow({upper, centre}, {brows, frame}) {
  const up = times(unit(frame.down), -1), width = length(minus(upper[0], upper[upper.length - 1]));
  const above = brows.map(({lower}) => mean(lower))
    .sort((a, b) => length(minus(a, centre)) - length(minus(b, centre)))[0];
  const height = above ? Math.max(length(minus(above, centre)), 0.3 * width) : 0.55 * width;
  const line = winged(upper, 0.16, up);
  const top = line.map((point) => plus(point, times(up, height)));
  return banded(line, top, SHADOW, (s) =>
    Math.min(1, 0.25 + 2.2 * s) * Math.min(1, (1 - s) / 0.22));
}

/**
 * Along the lashes, thicker towards the outer corner, with a wing.
 * @param {import("./parts.js").Eye} eye
 * @param {Parts} parts
 */
function liner({upper}, {frame}) {
  const up = times(unit(frame.down), -1), width = length(minus(upper[0], upper[upper.length - 1]));
  const line = winged(upper, 0.2, up), last = line.length - 1;
  const edge = (/** @type {number} */ sign) => line.map((point, index) => {
    const s = index / last;
    const thick = width * (0.035 + 0.05 * s) * Math.min(1, (1 - s) / 0.3) + 0.3;
    return plus(point, times(up, sign > 0 ? thick : -0.25 * thick));
  });
  return banded(edge(-1), edge(1), [[-0.15, 0], [0.2, 1], [0.7, 1], [1.25, 0]],
    (s) => Math.min(1, 0.3 + 3 * s));
}

/**
 * A line of the upper lid that goes on beyond the outer corner, outwards and up.
 * @param {readonly Point[]} line
 * @param {number} share Of its length.
 * @param {Point} up
 */
function winged(line, share, up) {
  const last = line[line.length - 1], width = length(minus(last, line[0]));
  const out = unit(minus(last, line[0])), steps = 8, wing = [];
  for (let step = 1; step <= steps; step++) {
    const t = step / steps;
    wing.push(plus(last, plus(times(out, share * width * t), times(up, 0.55 * share * width * t))));
  }
  // It leaves the lid before the corner, which points down.
  return [...line.slice(0, -4), ...line.slice(-4).map((point, index) =>
    plus(point, times(up, 0.012 * width * (index + 1)))), ...wing];
}

/**
 * The band between two lines of as many points.
 * @param {readonly Point[]} from
 * @param {readonly Point[]} to
 * @param {readonly (readonly number[])[]} rows Shares of the way, and their coverage.
 * @param {(s: number) => number} along The factor of the coverage along the lines, 0 to 1.
 */
function banded(from, to, rows, along = () => 1) {
  const vertices = [], last = from.length - 1;
  const corner = (/** @type {number} */ index, /** @type {readonly number[]} */ [share, cover]) => {
    const {x, y} = between(from[index], to[index], share);
    return [x, y, cover * Math.max(0, Math.min(1, along(index / last)))];
  };
  for (let row = 1; row < rows.length; row++) {
    for (let index = 0; index < last; index++) {
      const [a, b] = [rows[row - 1], rows[row]];
      vertices.push(...quad(corner(index, a), corner(index + 1, a), corner(index, b),
        corner(index + 1, b)));
    }
  }
  return vertices;
}

/**
 * The inside of an outline.
 * @param {readonly Point[]} outline
 * @param {readonly (readonly number[])[]} rings Shares of the way from the middle, and coverage.
 */
function filled(outline, rings) {
  const middle = mean(outline), vertices = [];
  const corner = (/** @type {number} */ index, /** @type {readonly number[]} */ [share, cover]) => {
    const {x, y} = between(middle, outline[index % outline.length], share);
    return [x, y, cover];
  };
  for (let ring = 1; ring < rings.length; ring++) {
    for (let index = 0; index < outline.length; index++) {
      const [a, b] = [rings[ring - 1], rings[ring]];
      vertices.push(...quad(corner(index, a), corner(index + 1, a), corner(index, b),
        corner(index + 1, b)));
    }
  }
  return vertices;
}

/**
 * @param {Point} centre
 * @param {Point} u
 * @param {Point} v
 */
function ellipse(centre, u, v) {
  const outline = Array.from({length: 32}, (_, step) => {
    const angle = 2 * Math.PI * step / 32;
    return plus(centre, plus(times(u, Math.cos(angle)), times(v, Math.sin(angle))));
  });
  return filled(outline, Array.from({length: 9}, (_, ring) => [ring / 8, bump(ring / 8)]));
}

/**
 * 1 at 0, and 0 from 1 on.
 * @param {number} value
 */
function bump(value) {
  return Math.abs(value) < 1 ? 0.5 + 0.5 * Math.cos(Math.PI * value) : 0;
}

/**
 * Two triangles.
 * @param {number[]} a
 * @param {number[]} b
 * @param {number[]} c
 * @param {number[]} d
 */
function quad(a, b, c, d) {
  return [...a, ...b, ...c, ...c, ...b, ...d];
}
