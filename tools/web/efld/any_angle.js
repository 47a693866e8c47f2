// Finds the faces of a picture at any angle (efld_tf/runtime/any_angle.py). The detector finds many
// faces that stand on their head, but takes their chin for the forehead; so each face that is not
// very sure is looked at once more from near by, at four angles.
import {Crop} from "./crop.js";
import {iou} from "./overlap.js";
import {extractCrop} from "./pixels.js";

/**
 * @typedef {import("./detector.js").Detection} Detection
 * @typedef {import("./overlap.js").Box} Box
 * @typedef {import("./pixels.js").Pixels} Pixels
 *
 * @typedef {{detection: Detection, certain: boolean}} Settled A face as it leans; where that is not
 *   certain, there may be none.
 *
 * @typedef {object} Look A face seen from near by.
 * @property {Crop} crop The square in which it was seen.
 * @property {number[]} row Score, box and key points in the unit square of the crop.
 */

/** Squares that the model sees at once, in two rows. */
const CELLS = 4;
const QUARTER = Math.PI / 2;

/** Searches pictures as they are, and turned where that may help. */
export class AnyAngleDetector {
  /**
   * @param {import("./detector.js").FaceDetector} detector
   * @param {import("./crop.js").Grid} grid
   */
  constructor(detector, grid) {
    this.detector = detector;
    this.grid = grid;
    this.options = detector.options;
    const half = this.options.input_size / 2;
    this.cell = new Uint8Array(3 * half * half);
    this.cells = new Uint8Array(CELLS * 3 * half * half);
  }

  /**
   * The faces of a picture, largest score first.
   * @param {Pixels} pixels
   * @param {readonly Detection[]} known Faces that need not be found again, and are left out.
   * @returns {Promise<Detection[]>}
   */
  async detect(pixels, known = []) {
    const find = (/** @type {number} */ turn) => this.detector.detect(pixels, turn);
    /** @type {Settled[]} */
    let faces = known.map((detection) => ({detection, certain: true}));
    faces = await this.settled(pixels, await find(0), 0, faces, true);
    const leans = () => faces.filter(({detection, certain}) =>
      certain && Math.abs(lean(detection)) > this.options.upright);
    if (!faces.length || faces[0].detection.score < this.options.sure_large || leans().length) {
      faces = await this.settled(pixels, await find(2), 2, faces, false);
    }
    if (!faces.length) faces = await this.anew(pixels);
    // Where one face lies on its side, others do that only the turned search finds.
    const turns = new Set(leans().map(({detection}) =>
      (Math.round(lean(detection) / QUARTER) + CELLS) % CELLS));
    for (const turn of [...turns].sort()) {
      if (turn) faces = await this.settled(pixels, await find(turn), turn, faces, true);
    }
    return faces.filter(({detection, certain}) => certain && !known.includes(detection))
      .map(({detection}) => detection);
  }

  /**
   * What is found where the picture as it is shows nobody.
   * @param {Pixels} pixels
   */
  async anew(pixels) {
    const found = [];
    for (const turn of [1, 2, 3]) {
      for (const detection of await this.detector.detect(pixels, turn)) {
        found.push({detection, turn});
      }
    }
    return this.settledOf(pixels, found, [], false);
  }

  /**
   * @param {Pixels} pixels
   * @param {readonly Detection[]} found
   * @param {number} turn
   * @param {readonly Settled[]} faces
   * @param {boolean} doubtful
   */
  settled(pixels, found, turn, faces, doubtful) {
    const turned = found.map((detection) => ({detection, turn}));
    return this.settledOf(pixels, turned, faces, doubtful);
  }

  /**
   * Faces, and others that were found, as they lean, largest score first.
   * @param {Pixels} pixels
   * @param {readonly {detection: Detection, turn: number}[]} found
   * @param {readonly Settled[]} faces
   * @param {boolean} doubtful Whether to look again at those below the least score, too.
   * @returns {Promise<Settled[]>}
   */
  async settledOf(pixels, found, faces, doubtful) {
    const {min_score: least, sure_near: sure} = this.options;
    const known = faces.map(({detection}) => detection).filter(({score}) => score >= sure);
    const settled = [...faces];
    const byScore = [...found].sort((a, b) => b.detection.score - a.detection.score);
    for (const {detection, turn} of byScore) {
      if (detection.score >= least && this.isAnother(detection, known)) {
        known.push(detection);
        settled.push(...await this.settle(pixels, detection, turn));
      }
    }
    if (doubtful) {
      const rest = byScore.map(({detection}) => detection).filter((detection) =>
        detection.score < least && this.isAnother(detection, known));
      settled.push(...await this.confirmed(pixels, rest));
    }
    /** @type {Settled[]} */
    const distinct = [];
    for (const face of settled.sort((a, b) => b.detection.score - a.detection.score)) {
      const others = distinct.map(({detection}) => detection);
      if (this.isAnother(face.detection, others)) distinct.push(face);
    }
    return distinct;
  }

  /**
   * A face as it leans, if there is one.
   * @param {Pixels} pixels
   * @param {Detection} detection
   * @param {number} turn
   * @returns {Promise<Settled[]>}
   */
  async settle(pixels, detection, turn) {
    const {options} = this, [x0, , x1] = detection.box;
    const large = x1 - x0 >= options.large * Math.max(pixels.width, pixels.height);
    const straight = Math.abs(remainder(lean(detection) - turn * QUARTER)) <= options.upright;
    if (straight && detection.score >= (large ? options.sure_large : options.sure)) {
      return [{detection, certain: true}];
    }
    let looks = await this.looks(pixels, detection), best = this.uprightOf(looks);
    if (options.least_near <= best.row[0] && best.row[0] < options.sure_near) {
      // The place may have been rough, too.
      const again = this.uprightOf(await this.looks(pixels, asDetection(best, 0)));
      if (again.row[0] > best.row[0]) best = again;
    }
    const upright = turn === 0 && straight, score = best.row[0];
    if (score < options.least_near) {
      // Those that reach to the borders of the picture are not seen from near by.
      return upright && detection.score >= options.sure_border
        ? [{detection, certain: true}] : [];
    }
    if (upright && score < Math.max(options.sure_turned, detection.score)
      && score - looks[0].row[0] < options.clearly) {
      return [{detection, certain: true}];
    }
    const near = asDetection(best, Math.max(score, detection.score));
    return [{detection: near, certain: score >= options.sure_turned
      || Math.abs(lean(near)) <= options.upright}];
  }

  /**
   * Those of doubtful detections that are upright faces from near by.
   * @param {Pixels} pixels
   * @param {readonly Detection[]} doubtful
   */
  async confirmed(pixels, doubtful) {
    const faces = [], {second_look: second, both_looks: both} = this.options;
    for (let start = 0; start < doubtful.length; start += CELLS) {
      const ones = doubtful.slice(start, start + CELLS);
      const looks = await this.looksIn(pixels, ones.map((one) => this.around(one)));
      for (const [index, look] of looks.entries()) {
        const least = Math.max(second, both - ones[index].score);
        if (look.row[0] < least) continue;
        const turned = await this.looks(pixels, asDetection(look, look.row[0]));
        const best = this.uprightOf(turned);
        if (best === turned[0] && best.row[0] >= least) {
          faces.push({detection: asDetection(best, best.row[0]), certain: true});
        }
      }
    }
    return faces;
  }

  /**
   * Faces whose places are known, as the model sees them from near by; null where it sees none.
   * @param {Pixels} pixels
   * @param {readonly Detection[]} faces
   */
  async seenAgain(pixels, faces) {
    /** @type {(Detection | null)[]} */
    const seen = [];
    for (let start = 0; start < faces.length; start += CELLS) {
      const crops = faces.slice(start, start + CELLS).map((face) => this.around(face));
      for (const look of await this.looksIn(pixels, crops)) {
        seen.push(look.row[0] >= this.options.least_near ? asDetection(look, look.row[0]) : null);
      }
    }
    return seen;
  }

  /**
   * Looks at a face from near by, turned by none to three quarters.
   * @param {Pixels} pixels
   * @param {Detection} detection
   */
  looks(pixels, detection) {
    return this.looksIn(pixels, [0, 1, 2, 3].map((turn) =>
      this.around(detection, turn * QUARTER)));
  }

  /**
   * Looks at up to four squares by one run of the model.
   * @param {Pixels} pixels
   * @param {readonly Crop[]} crops
   * @returns {Promise<Look[]>}
   */
  async looksIn(pixels, crops) {
    const {cell, cells} = this, size = this.options.input_size, half = size / 2;
    const limit = this.options.largest * Math.max(pixels.width, pixels.height);
    cells.fill(0);
    crops.forEach((crop, index) => {
      extractCrop(pixels, crop.side < limit ? crop : new Crop(0, 0, 1), half, cell);
      const corner = 3 * ((index >> 1) * half * size + (index & 1) * half);
      for (let row = 0; row < half; row++) {
        cells.set(cell.subarray(3 * row * half, 3 * (row + 1) * half), corner + 3 * row * size);
      }
    });
    const rows = await this.detector.look(cells, this.options.least_near);
    return crops.map((crop, index) => {
      const corner = [index & 1, index >> 1];
      const own = rows.map((row) => row.map((value, place) =>
        place ? 2 * value - corner[1 - place % 2] : value));
      const inside = own.filter(([, x0, y0, x1, y1]) =>
        Math.hypot((x0 + x1) / 2 - 0.5, (y0 + y1) / 2 - 0.5) < this.options.near);
      const best = inside.reduce((most, row) => row[0] > most[0] ? row : most,
        new Array(17).fill(0));
      return {crop, row: best};
    });
  }

  /**
   * The one of four looks, each turned by a quarter, in which the face is upright.
   * @param {readonly Look[]} looks
   */
  uprightOf(looks) {
    const best = looks.reduce((most, look) => look.row[0] > most.row[0] ? look : most);
    const [first] = looks;
    return first.row[0] >= Math.max(this.options.sure_turned, best.row[0] - this.options.hardly)
      ? first : best;
  }

  /**
   * The square around a face in which it is looked at from near by.
   * @param {Detection} detection
   * @param {number} turn
   */
  around(detection, turn = 0) {
    const [x0, y0, x1, y1] = detection.box, side = Math.max(x1 - x0, y1 - y0) / this.options.share;
    return new Crop((x0 + x1) / 2, (y0 + y1) / 2, side, lean(detection) + turn).on(this.grid);
  }

  /**
   * Whether a detection is of a face that is none of others, which are surer.
   * @param {Detection} detection
   * @param {readonly Detection[]} others
   */
  isAnother(detection, others) {
    const {same_face_iou: same, sure_turned: sure, most_inside: inside} = this.options;
    if (others.some((other) => iou(detection.box, other.box) > same)) return false;
    return detection.score >= sure || !others.some((other) =>
      common(detection.box, other.box) > inside * Math.min(area(detection.box), area(other.box)));
  }
}

/**
 * The radians by which a face leans, clockwise as seen, by its eyes.
 * @param {Detection} detection
 */
function lean({keypoints: [right, left]}) {
  return Math.atan2(left.y - right.y, left.x - right.x);
}

/**
 * An angle from -pi to pi.
 * @param {number} angle
 */
function remainder(angle) {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}

/**
 * The face of a look in pixels of the picture; its box has the same middle and side, not turned.
 * @param {Look} look
 * @param {number} score
 * @returns {Detection}
 */
function asDetection({crop, row}, score) {
  const [, x0, y0, x1, y1] = row, half = Math.max(x1 - x0, y1 - y0) / 2 * crop.side;
  const {x, y} = crop.fromUnit({x: (x0 + x1) / 2, y: (y0 + y1) / 2}), keypoints = [];
  for (let index = 5; index < row.length; index += 2) {
    keypoints.push(crop.fromUnit({x: row[index], y: row[index + 1]}));
  }
  return {box: [x - half, y - half, x + half, y + half], keypoints, score};
}

/**
 * @param {Box} a
 * @param {Box} b
 */
function common(a, b) {
  return Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0)
    * Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
}

/** @param {Box} box */
function area([x0, y0, x1, y1]) {
  return (x1 - x0) * (y1 - y0);
}
