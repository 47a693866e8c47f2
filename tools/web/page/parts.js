// The parts of a face that make-up goes on, from the landmarks of any schema that has them.
/**
 * @typedef {import("../efld/crop.js").Point} Point
 * @typedef {import("../efld/bundle.js").Schema} Schema
 *
 * @typedef {object} Frame Where a face is: lengths and directions follow its turns.
 * @property {Point} origin Between the eyes.
 * @property {Point} across From the person's right eye to the left one.
 * @property {Point} down From between the eyes to the middle of the mouth.
 *
 * @typedef {{upper: Point[], lower: Point[]}} Band Two lines from one end to the other.
 *
 * @typedef {object} Eye Its lines run from the inner corner to the outer one.
 * @property {Point[]} upper
 * @property {Point[]} lower
 * @property {Point} centre
 *
 * @typedef {object} Brow Its lines run from the nose outwards.
 * @property {Point[]} upper
 * @property {Point[]} lower
 *
 * @typedef {object} Parts
 * @property {Frame} frame
 * @property {{outer: Band, inner: Band} | null} lips From the person's right corner to the left.
 * @property {Eye[]} eyes
 * @property {Brow[]} brows
 * @property {{centre: Point, u: Point, v: Point}[]} cheeks Half axes of ellipses.
 * @property {Point[]} outline Of the face, closed.
 */

/** Samples of a line. */
const SAMPLES = 28;
/** Half of an eyebrow's height where only its middle is known, in widths of the eye. */
const BROW_HEIGHT = 0.13;

/**
 * The parts of a face, in pixels as canvases count them: centres of pixels are at halves.
 * @param {readonly Point[]} landmarks As `FaceLandmarker` gives them.
 * @param {Schema} schema
 * @returns {Parts | null} Null for a schema of a part of the face, without eyes or mouth.
 */
export function partsOf(landmarks, schema) {
  if (schema.is_part) return null;
  const points = landmarks.map(({x, y}) => ({x: x + 0.5, y: y + 0.5}));
  const frame = frameOf(points, schema);
  const part = (/** @type {string} */ name) =>
    schema.parts.find((one) => one.name === name && one.line);
  const named = (/** @type {string} */ name) =>
    part(name)?.points.map((index) => points[index]) ?? null;
  const outer = named("outer_lips"), inner = named("inner_lips");
  const eyes = [eyeOf(named("right_eye"), frame, -1), eyeOf(named("left_eye"), frame, 1)];
  const brows = [["right_eyebrow", -1], ["left_eyebrow", 1]].map(([name, side]) =>
    browOf(named(`${name}`), part(`${name}`)?.closed ?? false, frame, Number(side)));
  return {
    frame,
    lips: outer && inner && outer.length > 3 && inner.length > 3
      ? {outer: banded(outer, frame.across, frame.down),
        inner: banded(inner, frame.across, frame.down)} : null,
    eyes: eyes.filter((eye) => eye !== null),
    brows: brows.filter((brow) => brow !== null),
    cheeks: cheeksOf(points, schema, frame),
    outline: outlineOf(named("jaw"), named("face_oval"), frame),
  };
}

/**
 * @param {readonly Point[]} points
 * @param {Schema} schema
 * @returns {Frame}
 */
function frameOf(points, schema) {
  const [right, left, mouthRight, mouthLeft] = ["right_eye", "left_eye", "mouth_right",
    "mouth_left"].map((name) => mean(schema.anchors[name].map((index) => points[index])));
  const origin = between(right, left, 0.5);
  return {origin, across: minus(left, right), down: minus(between(mouthRight, mouthLeft, 0.5),
    origin)};
}

/**
 * @param {Point[] | null} contour
 * @param {Frame} frame
 * @param {number} side -1 for the person's right one.
 * @returns {Eye | null}
 */
function eyeOf(contour, frame, side) {
  if (!contour || contour.length < 4) return null;
  const outwards = times(frame.across, side);
  return {...banded(contour, outwards, frame.down), centre: mean(contour)};
}

/**
 * @param {Point[] | null} points Along the eyebrow, or around it.
 * @param {boolean} closed Whether they go around it.
 * @param {Frame} frame
 * @param {number} side -1 for the person's right one.
 * @returns {Brow | null}
 */
function browOf(points, closed, frame, side) {
  if (!points || points.length < 3) return null;
  const outwards = times(frame.across, side);
  if (closed && points.length > 3) return banded(points, outwards, frame.down);
  const line = [...points].sort((a, b) => dot(a, outwards) - dot(b, outwards));
  const width = length(frame.across) / 2, up = times(unit(frame.down), -1);
  const middle = smooth(line, SAMPLES);
  const edge = (/** @type {number} */ sign) => middle.map((point, index) => {
    const t = index / (SAMPLES - 1), height = 0.75 + 0.9 * t - 1.45 * t * t;
    return plus(point, times(up, sign * BROW_HEIGHT * width * height));
  });
  return {upper: edge(1), lower: edge(-1)};
}

/**
 * The upper and the lower half of a contour.
 * @param {readonly Point[]} contour
 * @param {Point} axis From the end where both begin to the other.
 * @param {Point} down
 * @returns {Band}
 */
function banded(contour, axis, down) {
  const places = contour.map((point) => dot(point, axis));
  const start = places.indexOf(Math.min(...places)), end = places.indexOf(Math.max(...places));
  const chain = (/** @type {number} */ step) => {
    const chained = [contour[start]];
    for (let index = start; index !== end;) {
      index = (index + step + contour.length) % contour.length;
      chained.push(contour[index]);
    }
    return chained;
  };
  const halves = [chain(1), chain(-1)];
  const depth = halves.map((half) => dot(mean(half), down));
  const [upper, lower] = depth[0] <= depth[1] ? halves : [halves[1], halves[0]];
  return {upper: smooth(upper, SAMPLES), lower: smooth(lower, SAMPLES)};
}

/**
 * Below the outer half of the eyes, at the height of the tip of the nose.
 * @param {readonly Point[]} points
 * @param {Schema} schema
 * @param {Frame} frame
 */
function cheeksOf(points, schema, frame) {
  return [["right_eye", "mouth_right", -1], ["left_eye", "mouth_left", 1]].map(([eye, mouth, side]) => {
    const from = mean(schema.anchors[eye].map((index) => points[index]));
    const to = mean(schema.anchors[mouth].map((index) => points[index]));
    const out = times(frame.across, Number(side));
    const centre = plus(between(from, to, 0.56), plus(times(out, 0.2), times(frame.down, -0.02)));
    // It rises towards the ear.
    return {centre, u: plus(times(out, 0.34), times(frame.down, -0.16)),
      v: times(frame.down, 0.25)};
  });
}

/**
 * The outline of a face, of which most schemas have the jaw or nothing.
 * @param {Point[] | null} jaw From the person's right ear to the left one.
 * @param {Point[] | null} oval
 * @param {Frame} frame
 */
function outlineOf(jaw, oval, frame) {
  const {origin, across, down} = frame;
  if (oval) return smooth([...oval, oval[0]], 4 * SAMPLES);
  const top = plus(origin, times(down, -1.05));
  const half = (/** @type {Point} */ side, /** @type {number} */ share) =>
    plus(between(top, side, share), times(down, -0.42 * share));
  if (jaw && jaw.length > 4) {
    const first = jaw[0], last = jaw[jaw.length - 1];
    return smooth([...jaw, half(last, 0.72), top, half(first, 0.72), first], 4 * SAMPLES);
  }
  // An egg around the mean face.
  const outline = [];
  for (let step = 0; step < 4 * SAMPLES; step++) {
    const angle = 2 * Math.PI * step / (4 * SAMPLES), low = Math.sin(angle) > 0;
    const wide = (low ? 1.02 - 0.22 * Math.sin(angle) ** 2 : 1.02) * Math.cos(angle);
    outline.push(plus(origin, plus(times(across, wide),
      times(down, 0.42 + (low ? 1.33 : 1.42) * Math.sin(angle)))));
  }
  return outline;
}

/**
 * A smooth line through points, sampled at equal distances (Catmull-Rom).
 * @param {readonly Point[]} points
 * @param {number} count
 */
export function smooth(points, count) {
  const dense = [], last = points.length - 1;
  for (let index = 0; index < last; index++) {
    const [a, b, c, d] = [-1, 0, 1, 2].map((step) =>
      points[Math.min(Math.max(index + step, 0), last)]);
    for (let part = 0; part < 8; part++) dense.push(between4(a, b, c, d, part / 8));
  }
  dense.push(points[last]);
  return evenly(dense, count);
}

/**
 * Points at equal distances on a polyline.
 * @param {readonly Point[]} line
 * @param {number} count
 */
function evenly(line, count) {
  const ways = [0];
  for (let index = 1; index < line.length; index++) {
    ways.push(ways[index - 1] + length(minus(line[index], line[index - 1])));
  }
  const total = ways[ways.length - 1], even = [];
  for (let step = 0, index = 1; step < count; step++) {
    const way = total * step / (count - 1);
    while (index < line.length - 1 && ways[index] < way) index++;
    const span = ways[index] - ways[index - 1];
    even.push(between(line[index - 1], line[index], span ? (way - ways[index - 1]) / span : 0));
  }
  return even;
}

/**
 * @param {Point} a
 * @param {Point} b
 * @param {Point} c
 * @param {Point} d
 * @param {number} t
 */
function between4(a, b, c, d, t) {
  const mix = (/** @type {"x" | "y"} */ axis) => 0.5 * (2 * b[axis] + (c[axis] - a[axis]) * t
    + (2 * a[axis] - 5 * b[axis] + 4 * c[axis] - d[axis]) * t * t
    + (3 * b[axis] - a[axis] - 3 * c[axis] + d[axis]) * t * t * t);
  return {x: mix("x"), y: mix("y")};
}

/**
 * @param {Point} a
 * @param {Point} b
 * @param {number} t
 */
export function between(a, b, t) {
  return {x: a.x + t * (b.x - a.x), y: a.y + t * (b.y - a.y)};
}

/**
 * @param {Point} a
 * @param {Point} b
 */
export function plus(a, b) {
  return {x: a.x + b.x, y: a.y + b.y};
}

/**
 * @param {Point} a
 * @param {Point} b
 */
export function minus(a, b) {
  return {x: a.x - b.x, y: a.y - b.y};
}

/**
 * @param {Point} a
 * @param {number} factor
 */
export function times(a, factor) {
  return {x: a.x * factor, y: a.y * factor};
}

/** @param {Point} a */
export function length(a) {
  return Math.hypot(a.x, a.y);
}

/** @param {Point} a */
export function unit(a) {
  return times(a, 1 / Math.max(length(a), 1e-6));
}

/**
 * @param {Point} a
 * @param {Point} b
 */
function dot(a, b) {
  return a.x * b.x + a.y * b.y;
}

/** @param {readonly Point[]} points */
export function mean(points) {
  return times(points.reduce(plus), 1 / points.length);
}
