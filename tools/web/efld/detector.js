// MediaPipe's short-range face detector (V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural
// Face Detection on Mobile GPUs", 2019), decoded as by MediaPipe: overlapping boxes are averaged.
import {tightBox} from "./crop.js";
import {iou} from "./overlap.js";
import {sample} from "./pixels.js";

/**
 * @typedef {import("./overlap.js").Box} Box
 *
 * @typedef {object} Detection A face as the detector sees it.
 * @property {Box} box It may reach beyond the picture.
 * @property {import("./crop.js").Point[]} keypoints The person's right eye, left eye, tip of the
 *   nose, mouth, right ear and left ear.
 * @property {number} score 0 to 1.
 */

/** Looks at whole pictures: finds faces that fill at least a sixth of the longest side. */
export class FaceDetector {
  /**
   * @param {import("./runtime.js").Model} model
   * @param {import("./bundle.js").DetectorOptions} options
   */
  constructor(model, options) {
    this.model = model;
    this.options = options;
    const size = options.input_size;
    /** @type {[x: number, y: number][]} In sides of the input. */
    this.anchors = options.grids.flatMap(([cells, count]) =>
      Array.from({length: cells * cells * count}, (_, index) => {
        const cell = Math.floor(index / count);
        return /** @type {[number, number]} */ (
          [(cell % cells + 0.5) / cells, (Math.floor(cell / cells) + 0.5) / cells]);
      }));
    this.bytes = new Uint8Array(3 * size * size);
    this.input = new Float32Array(3 * size * size);
  }

  /**
   * The faces of a picture, those first that reach the least score.
   * @param {import("./pixels.js").Pixels} pixels
   * @param {number} turn The right angles by which the picture is turned, counterclockwise, before
   *   the model sees it: faces that lean clockwise by as many are upright then.
   * @returns {Promise<Detection[]>} In pixels of the picture as it is.
   */
  async detect(pixels, turn = 0) {
    const size = this.options.input_size, side = Math.max(pixels.width, pixels.height);
    const step = side / size, view = turned(pixels.width, pixels.height, turn);
    const [width, height] = turn % 2 ? [pixels.height, pixels.width]
      : [pixels.width, pixels.height];
    const left = (width - side) / 2, top = (height - side) / 2;
    const [a, b, c, d, e, f] = view;
    sample(pixels, [a * step, b * step, a * left + b * top + c,
      d * step, e * step, d * left + e * top + f], size, this.bytes);
    const rows = await this.look(this.bytes, this.options.doubtful * this.options.min_score);
    const places = rows.map((row) => row.map((value, index) =>
      index ? value * side - 0.5 * step + (index % 2 ? left : top) : value));
    return this.merged(places).map((row) => asDetection(row, view));
  }

  /**
   * Rows of score, box and key points in the unit square, of which there are several for a face.
   * @param {Uint8Array} bytes The pixels of the model's input, RGB.
   * @param {number} least The lowest score.
   */
  async look(bytes, least) {
    bytes.forEach((value, index) => { this.input[index] = value / 127.5 - 1; });
    const [first, second] = await this.model.run(this.input);
    const [boxes, logits] = first.length > second.length ? [first, second] : [second, first];
    const rows = [], size = this.options.input_size, width = boxes.length / logits.length;
    for (let index = 0; index < logits.length; index++) {
      const score = 1 / (1 + Math.exp(-Math.min(Math.max(logits[index], -100), 100)));
      if (!(score >= least)) continue;
      const [x, y] = this.anchors[index];
      const raw = Array.from(boxes.subarray(index * width, (index + 1) * width), (v) => v / size);
      const [centerX, centerY] = [raw[0] + x, raw[1] + y], [w, h] = [raw[2] / 2, raw[3] / 2];
      rows.push([score, centerX - w, centerY - h, centerX + w, centerY + h,
        ...raw.slice(4).map((value, place) => value + (place % 2 ? y : x))]);
    }
    return rows;
  }

  /**
   * One row for each face; doubtful ones do not change the boxes of others.
   * @param {number[][]} rows
   */
  merged(rows) {
    const {min_score: least, same_face_iou: same} = this.options;
    const sure = suppressed(rows.filter(([score]) => score >= least), same);
    const doubtful = suppressed(rows.filter(([score]) => score < least), same);
    return [...sure, ...doubtful.filter((row) =>
      !sure.some((other) => iou(boxOf(row), boxOf(other)) > same))];
  }
}

/**
 * From pixels of a turned picture to those of the picture.
 * @param {number} width
 * @param {number} height
 * @param {number} turn
 * @returns {import("./pixels.js").Affine}
 */
function turned(width, height, turn) {
  switch (turn) {
    case 1: return [0, -1, width - 1, 1, 0, 0];
    case 2: return [-1, 0, width - 1, 0, -1, height - 1];
    case 3: return [0, 1, 0, -1, 0, height - 1];
    default: return [1, 0, 0, 0, 1, 0];
  }
}

/**
 * One row for each group of overlapping boxes: the mean by score, with the highest score.
 * @param {number[][]} rows
 * @param {number} minIou
 */
export function suppressed(rows, minIou) {
  const merged = [];
  let left = [...rows].sort((a, b) => b[0] - a[0]);
  while (left.length) {
    const best = left[0];
    const group = left.filter((row) => row === best || iou(boxOf(row), boxOf(best)) > minIou);
    const sum = group.reduce((total, row) => total + row[0], 0);
    merged.push(best.map((score, index) => index
      ? group.reduce((total, row) => total + row[0] * row[index], 0) / sum : score));
    left = left.filter((row) => !group.includes(row));
  }
  return merged;
}

/**
 * @param {number[]} row
 * @returns {Box}
 */
function boxOf([, x0, y0, x1, y1]) {
  return [x0, y0, x1, y1];
}

/**
 * @param {number[]} row In pixels of a turned picture.
 * @param {import("./pixels.js").Affine} view
 * @returns {Detection}
 */
function asDetection(row, [a, b, c, d, e, f]) {
  const places = [];
  for (let index = 1; index < row.length; index += 2) {
    const x = row[index], y = row[index + 1];
    places.push({x: a * x + b * y + c, y: d * x + e * y + f});
  }
  return {box: tightBox(places.slice(0, 2)), keypoints: places.slice(2), score: row[0]};
}
