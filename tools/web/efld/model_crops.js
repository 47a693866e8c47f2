// Where to look for the points of a model (efld_tf/runtime/model_crops.py and crop_maps.py).
import {Crop, mean, tightBox} from "./crop.js";

/**
 * @typedef {import("./crop.js").Point} Point
 * @typedef {import("./bundle.js").Description} Description
 * @typedef {import("./detector.js").Detection} Detection
 */

/** The crops of a model: of the faces that a detector finds, and around the model's own points. */
export class ModelCrops {
  /** @param {Description} description */
  constructor({schema, crop, detector, grid}) {
    this.schema = schema;
    this.grid = grid;
    this.crop = crop;
    this.shown = square(crop.shown);
    this.inBox = square(detector.crop);
    /** Anchors, and the tip of the nose where there is one: groups of points. */
    this.groups = ["right_eye", "left_eye", "mouth_right", "mouth_left"]
      .map((name) => schema.anchors[name]);
    if (schema.nose_tip.length) this.groups.push(schema.nose_tip);
  }

  /**
   * The reference crop of a face that a detector found, turned so that its eyes are level.
   * @param {Detection} detection
   */
  reference({box: [x0, y0, x1, y1], keypoints: [right, left]}) {
    const angle = Math.atan2(left.y - right.y, left.x - right.x);
    return new Crop((x0 + x1) / 2, (y0 + y1) / 2, Math.max(x1 - x0, y1 - y0), angle)
      .within(this.inBox);
  }

  /**
   * The crop of a face that a detector found.
   * @param {Detection} detection
   */
  ofDetection(detection) {
    const crop = this.reference(detection).within(this.shown), moved = this.crop.moved;
    if (!moved) return crop.on(this.grid);
    const seen = mean(moved.keypoints.map((index) => detection.keypoints[index]));
    const {x, y} = crop.fromUnit(moved);
    return new Crop(crop.x + seen.x - x, crop.y + seen.y - y, crop.side, crop.angle).on(this.grid);
  }

  /**
   * What a detector would find in a crop of the model.
   * @param {Crop} crop
   * @returns {Detection}
   */
  asDetection(crop) {
    const reference = crop.around(this.shown), {x, y, side} = reference.around(this.inBox);
    const [right, left, ...mouth] = this.crop.anchors.map(([u, v]) =>
      reference.fromUnit({x: u, y: v}));
    // Nose and ears are taken for the middle: nothing needs them.
    const middle = {x, y};
    return {box: [x - side / 2, y - side / 2, x + side / 2, y + side / 2], score: 1,
      keypoints: [right, left, middle, mean(mouth), middle, middle]};
  }

  /**
   * The crop around landmarks, turned so that they are upright.
   * @param {readonly Point[]} points
   */
  around(points) {
    const {weights, mean_shape: meanShape} = this.crop;
    const crop = weights ? this.byAnchors(points, weights).within(this.shown)
      : this.byMeanShape(points, /** @type {number[][]} */ (meanShape));
    return crop.on(this.grid);
  }

  /**
   * The reference crop, linear in the upright anchors.
   * @param {readonly Point[]} points
   * @param {number[][]} weights
   */
  byAnchors(points, weights) {
    const places = this.groups.map((group) => mean(group.map((index) => points[index])));
    const [rightEye, leftEye, mouthRight, mouthLeft] = places;
    const downX = (mouthRight.x + mouthLeft.x - rightEye.x - leftEye.x) / 2;
    const downY = (mouthRight.y + mouthLeft.y - rightEye.y - leftEye.y) / 2;
    const eyes = Math.hypot(leftEye.x - rightEye.x, leftEye.y - rightEye.y);
    const angle = Math.atan2(leftEye.y + mouthLeft.y - rightEye.y - mouthRight.y,
      leftEye.x + mouthLeft.x - rightEye.x - mouthRight.x);
    const {x, y} = mean(places.slice(0, 4));
    const side = Math.max(eyes, Math.hypot(downX, downY), 1e-6);
    const upright = new Crop(x, y, side, angle).within(new Crop(1, 1, 1));
    const features = [1, ...places.flatMap((place) => {
      const unit = upright.toUnit(place);
      return [unit.x, unit.y];
    })];
    const [inX, inY, logSide] = [0, 1, 2].map((column) =>
      features.reduce((sum, value, row) => sum + value * weights[row][column], 0));
    return upright.within(new Crop(inX, inY, Math.exp(Math.min(Math.max(logSide, -3), 3))));
  }

  /**
   * The crop in which the mean shape comes closest to the points, by least squares; or that of the
   * turned points' box, where the model's crop rule is of these points.
   * @param {readonly Point[]} points
   * @param {number[][]} meanShape In the unit square of the crop.
   */
  byMeanShape(points, meanShape) {
    const shape = meanShape.map(([x, y]) => ({x, y}));
    const from = mean(shape), to = mean(points);
    // The turn of a similarity, as a complex number.
    let real = 0, imaginary = 0, spread = 0;
    shape.forEach((place, index) => {
      const x = place.x - from.x, y = place.y - from.y;
      const u = points[index].x - to.x, v = points[index].y - to.y;
      real += x * u + y * v;
      imaginary += x * v - y * u;
      spread += x * x + y * y;
    });
    real /= spread;
    imaginary /= spread;
    const angle = Math.atan2(imaginary, real), rule = this.crop.rule;
    if (rule) {
      const turned = new Crop(0, 0, 1, angle);
      const [x0, y0, x1, y1] = tightBox(points.map((point) => turned.toUnit(point)));
      const longest = Math.max(x1 - x0, y1 - y0);
      if (longest > 0) {
        return turned.within(new Crop((x0 + x1) / 2 + rule.x * longest,
          (y0 + y1) / 2 + rule.y * longest, rule.scale * longest));
      }
    }
    const right = 0.5 - from.x, down = 0.5 - from.y;
    return new Crop(to.x + real * right - imaginary * down, to.y + imaginary * right + real * down,
      Math.max(Math.hypot(real, imaginary), 1e-6), angle);
  }
}

/** @param {{x: number, y: number, side: number}} place */
function square({x, y, side}) {
  return new Crop(x, y, side);
}
