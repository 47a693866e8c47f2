// The port computes what the toolkit does in Python: vectors.json is written by it.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";
import {agreement} from "../efld/agreement.js";
import {Crop} from "../efld/crop.js";
import {suppressed} from "../efld/detector.js";
import {expectedNme, scaled} from "../efld/face.js";
import {ModelCrops} from "../efld/model_crops.js";
import {extractCrop, sample} from "../efld/pixels.js";
import {OneEuroFilter} from "../efld/smoothing.js";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf-8"));

/** @param {string} text */
function bytes(text) {
  return new Uint8Array(Buffer.from(text, "base64"));
}

/** The picture of the vectors, of which rectangles are read. */
class Image {
  constructor() {
    const {width, height, rgb} = vectors.image, colours = bytes(rgb);
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(4 * width * height).fill(255);
    for (let pixel = 0; pixel < width * height; pixel++) {
      this.data.set(colours.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    }
  }

  /**
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   */
  read(left, top, right, bottom) {
    assert(0 <= left && left < right && right <= this.width);
    assert(0 <= top && top < bottom && bottom <= this.height);
    const data = [];
    for (let row = top; row < bottom; row++) {
      data.push(...this.data.subarray(4 * (row * this.width + left),
        4 * (row * this.width + right)));
    }
    return {left, top, width: right - left, height: bottom - top, data: Uint8Array.from(data)};
  }
}

/** @param {{x: number, y: number, side: number, angle?: number}} place */
function crop({x, y, side, angle = 0}) {
  return new Crop(x, y, side, angle);
}

/**
 * @param {any} found
 * @param {any} expected
 * @param {number} [tolerance]
 */
function assertClose(found, expected, tolerance = 1e-4) {
  if (typeof expected === "number") {
    assert(Math.abs(found - expected) <= tolerance, `${found}, expected ${expected}`);
    return;
  }
  for (const [key, value] of Object.entries(expected)) assertClose(found[key], value, tolerance);
}

for (const [index, one] of vectors.crops.entries()) {
  test(`crop ${index}`, () => {
    const out = new Uint8Array(3 * one.size * one.size).fill(7);
    extractCrop(new Image(), crop(one.crop), one.size, out);
    assert.deepEqual(out, bytes(one.rgb));
  });
}

for (const [index, {left, top, step, size, rgb}] of vectors.squares.entries()) {
  test(`square of the detector ${index}`, () => {
    const out = new Uint8Array(3 * size * size).fill(7);
    sample(new Image(), [step, 0, left, 0, step, top], size, out);
    assert.deepEqual(out, bytes(rgb));
  });
}

test("overlapping boxes are averaged", () => {
  const {rows, min_iou: minIou, merged} = vectors.rows;
  const found = suppressed(rows, minIou);
  assert.equal(found.length, merged.length);
  assertClose(found, merged);
});

for (const {description, cases} of vectors.models) {
  test(`crops of ${description.schema.name}`, () => {
    const crops = new ModelCrops(description);
    for (const one of cases) {
      assertClose(crops.around(one.points), one.around);
      assertClose(crops.asDetection(crop(one.around)), one.seen);
      assertClose(crops.ofDetection(one.detection), one.crop);
      const {side} = crops.reference(one.detection);
      assertClose(side, one.side);
      assertClose(agreement(description.agreement, one.points, one.detection, side), one.agreement);
    }
  });

  test(`expected error of ${description.schema.name}`, () => {
    const {schema} = description, {normaliser: _, ...old} = schema;
    for (const {points, errors, expected_nme: expected, detection: {box}} of cases) {
      assertClose(expectedNme(schema, points, errors), expected, 1e-6);
      assert.equal(expectedNme(schema, points, []), null);
      assert.equal(expectedNme(old, points, errors), null);
      const still = points.map(() => points[0]);
      assert.equal(expectedNme(schema, still, errors), null);
      const whole = scaled({points, box, score: 1, confidence: 1, depth: errors, errors,
        expectedNme: expected}, 2.5);
      assertClose(expectedNme(schema, whole.points, whole.errors), expected, 1e-6);
      assertClose(whole.depth, whole.errors, 0);
    }
  });
}

test("points are smoothed", () => {
  const {smoothing} = vectors.models[0].description;
  const filter = new OneEuroFilter(smoothing);
  for (const {points, seconds, size, smooth} of vectors.smoothing) {
    const rows = (/** @type {{x: number, y: number}[]} */ places) => places.map(({x, y}) => [x, y]);
    assertClose(filter.update(rows(points), seconds, size), rows(smooth));
  }
});

test("a crop and the one around it", () => {
  const inner = new Crop(0.4, 0.7, 1.3, 0.2), outer = new Crop(30, -20, 9, 1.1);
  assertClose(outer.within(inner).around(inner), outer, 1e-9);
  assertClose(outer.toUnit(outer.fromUnit({x: 0.2, y: 0.9})), {x: 0.2, y: 0.9}, 1e-12);
});
