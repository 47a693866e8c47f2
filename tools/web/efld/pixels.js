// Pixels of pictures, resampled as by the toolkit in Python (efld_tf/landmarks/geometry.py), which
// calls OpenCV: bilinear, by integers, with places rounded to 1/32 of a pixel.
/** @typedef {import("./crop.js").Crop} Crop */

/** Bits behind the point: of places while they are added up, of a place in a pixel, of weights. */
const PLACE_BITS = 10, PIXEL_BITS = 5, WEIGHT_BITS = 15;

/**
 * A rectangle of a picture.
 * @typedef {object} Region
 * @property {number} left Its first column in the picture.
 * @property {number} top Its first row.
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray | Uint8Array} data RGBA, row by row.
 */

/**
 * What pixels can be read from.
 * @typedef {object} Pixels
 * @property {number} width
 * @property {number} height
 * @property {(left: number, top: number, right: number, bottom: number) => Region} read A rectangle
 *   that lies in the picture.
 */

/**
 * An affine map from pixels of a result to those of a picture: [a b c; d e f].
 * @typedef {[a: number, b: number, c: number, d: number, e: number, f: number]} Affine
 */

/**
 * Resamples a crop to RGB; outside of the picture it is black.
 *
 * If it shrinks by two or more, whole blocks of pixels are averaged first; the factor that remains
 * is bilinear.
 * @param {Pixels} pixels
 * @param {Crop} crop
 * @param {number} size The side of the result.
 * @param {Uint8Array} out Of 3 * size * size values.
 */
export function extractCrop(pixels, crop, size, out) {
  const step = crop.side / size, block = Math.max(1, Math.floor(step + 1e-6));
  const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([x, y]) => crop.fromUnit({x, y}));
  const xs = corners.map((corner) => corner.x), ys = corners.map((corner) => corner.y);
  const left = Math.max(Math.floor(Math.min(...xs)) - block, 0);
  const top = Math.max(Math.floor(Math.min(...ys)) - block, 0);
  const right = Math.min(Math.ceil(Math.max(...xs)) + block + 1, pixels.width);
  const bottom = Math.min(Math.ceil(Math.max(...ys)) + block + 1, pixels.height);
  if (right <= left || bottom <= top) {
    out.fill(0);
    return;
  }
  const region = shrunk(pixels.read(left, top, right, bottom), block);
  const cosine = step * Math.cos(crop.angle), sine = step * Math.sin(crop.angle);
  // Pixel j of the result is at (j + 0.5) / size of the crop; pixel s of a shrunk region has its
  // centre at block * s + (block - 1) / 2 of the region.
  const middle = 0.5 - size / 2, shift = (block - 1) / 2;
  warp(region, [
    cosine / block, -sine / block,
    (crop.x + middle * (cosine - sine) - left - shift) / block,
    sine / block, cosine / block,
    (crop.y + middle * (sine + cosine) - top - shift) / block,
  ], size, out);
}

/**
 * Resamples a picture to RGB, without averaging.
 * @param {Pixels} pixels
 * @param {Affine} map From pixels of the result to those of the picture.
 * @param {number} size The side of the result.
 * @param {Uint8Array} out Of 3 * size * size values.
 */
export function sample(pixels, map, size, out) {
  warp(pixels.read(0, 0, pixels.width, pixels.height), map, size, out);
}

/**
 * Means of blocks of pixels; the border is repeated where a block reaches beyond it.
 * @param {Region} region
 * @param {number} block The side of a block.
 * @returns {Region}
 */
function shrunk(region, block) {
  if (block === 1) return region;
  const {width, height, data} = region;
  const columns = Math.ceil(width / block), rows = Math.ceil(height / block);
  const sums = new Uint32Array(4 * columns), result = new Uint8ClampedArray(4 * columns * rows);
  const share = 1 / (block * block);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    for (let i = 0; i < block; i++) {
      let at = 4 * width * Math.min(row * block + i, height - 1);
      const end = at + 4 * (width - 1);
      for (let column = 0; column < columns; column++) {
        let red = 0, green = 0, blue = 0;
        for (let j = 0; j < block; j++) {
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
          if (at < end) at += 4;
        }
        sums[4 * column] += red;
        sums[4 * column + 1] += green;
        sums[4 * column + 2] += blue;
      }
    }
    // OpenCV rounds halves up in blocks of two; otherwise, as clamped arrays do, to even.
    const half = block === 2 ? 1e-3 : 0;
    for (let index = 0; index < sums.length; index++) {
      result[4 * columns * row + index] = sums[index] * share + half;
    }
  }
  return {left: 0, top: 0, width: columns, height: rows, data: result};
}

/**
 * Samples a region at places on a grid; outside of it is black.
 * @param {Region} region
 * @param {Affine} map From pixels of the result to those of the region.
 * @param {number} size The side of the result.
 * @param {Uint8Array} out Of 3 * size * size values.
 */
function warp({data, width, height}, [a, b, c, d, e, f], size, out) {
  const one = 1 << PLACE_BITS, half = 1 << (PLACE_BITS - PIXEL_BITS - 1);
  const cut = PLACE_BITS - PIXEL_BITS, parts = 1 << PIXEL_BITS;
  const across = new Int32Array(size), down = new Int32Array(size);
  for (let column = 0; column < size; column++) {
    across[column] = roundEven(a * column * one);
    down[column] = roundEven(d * column * one);
  }
  const round = 1 << (WEIGHT_BITS - 1), unit = WEIGHT_BITS - 2 * PIXEL_BITS;
  for (let row = 0, at = 0; row < size; row++) {
    const x0 = roundEven((b * row + c) * one) + half, y0 = roundEven((e * row + f) * one) + half;
    for (let column = 0; column < size; column++, at += 3) {
      const x = (x0 + across[column]) >> cut, y = (y0 + down[column]) >> cut;
      const left = x >> PIXEL_BITS, top = y >> PIXEL_BITS;
      const right = x & (parts - 1), below = y & (parts - 1);
      let p00 = (parts - right) * (parts - below), p01 = right * (parts - below);
      let p10 = (parts - right) * below, p11 = right * below;
      let from = 4 * (top * width + left), next = 4, nextRow = 4 * width;
      if (left < 0 || top < 0 || left >= width - 1 || top >= height - 1) {
        if (left < -1 || top < -1 || left >= width || top >= height) {
          out[at] = out[at + 1] = out[at + 2] = 0;
          continue;
        }
        // Weights of what lies outside are 0, and any pixel inside is read for it.
        if (left < 0) p00 = p10 = 0;
        if (left >= width - 1) p01 = p11 = 0;
        if (top < 0) p00 = p01 = 0;
        if (top >= height - 1) p10 = p11 = 0;
        from = 4 * (Math.max(top, 0) * width + Math.max(left, 0));
        if (left < 0 || left >= width - 1) next = 0;
        if (top < 0 || top >= height - 1) nextRow = 0;
      }
      for (let channel = 0; channel < 3; channel++, from++) {
        const sum = p00 * data[from] + p01 * data[from + next]
          + p10 * data[from + nextRow] + p11 * data[from + nextRow + next];
        out[at + channel] = ((sum << unit) + round) >> WEIGHT_BITS;
      }
    }
  }
}

/**
 * The nearest whole number, of two the even one.
 * @param {number} value
 */
function roundEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
