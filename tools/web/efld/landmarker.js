// Finds faces and their landmarks (efld_tf/runtime/landmarker.py).
import {agreement} from "./agreement.js";
import {AnyAngleDetector} from "./any_angle.js";
import {readDescription} from "./bundle.js";
import {Crop, tightBox} from "./crop.js";
import {FaceDetector} from "./detector.js";
import {LandmarkError} from "./errors.js";
import {expectedNme, scaled} from "./face.js";
import {ModelCrops} from "./model_crops.js";
import {iou, squared} from "./overlap.js";
import {PictureReader} from "./pictures.js";
import {extractCrop} from "./pixels.js";
import {loadRuntime, Model} from "./runtime.js";
import {FaceTracker} from "./tracker.js";

/**
 * @typedef {import("./bundle.js").Description} Description
 * @typedef {import("./crop.js").Point} Point
 * @typedef {import("./detector.js").Detection} Detection
 * @typedef {import("./face.js").Face} Face
 * @typedef {import("./overlap.js").Box} Box
 * @typedef {import("./pictures.js").Picture} Picture
 * @typedef {import("./pixels.js").Pixels} Pixels
 *
 * @typedef {object} Found A face, the crop of the model's last look, and its `agreement`.
 * @property {Face} face
 * @property {Crop} crop
 * @property {number} agreed
 *
 * @typedef {object} Look What the model sees in a crop, and the crop around that.
 * @property {Point[]} points
 * @property {number} confidence
 * @property {number[]} depth
 * @property {number[]} errors
 * @property {Crop} around
 */

/** Finds the faces of photos and their landmarks; `track` makes what follows them in a video. */
export class FaceLandmarker {
  /**
   * @param {Description} description
   * @param {Model} model
   * @param {AnyAngleDetector} detector
   */
  constructor(description, model, detector) {
    const {input_size: size, schema} = description;
    this.description = description;
    this.model = model;
    this.detector = detector;
    this.crops = new ModelCrops(description);
    this.reader = new PictureReader();
    this.input = new Uint8Array(3 * size * size);
    const counts = model.outputs.map((shape) => shape.reduce((a, b) => a * b, 1));
    this.pointsOutput = counts.indexOf(2 * schema.names.length);
    const alone = counts.indexOf(1);
    this.depthOutput = counts.indexOf(schema.names.length);
    this.confidenceOutput = alone >= 0 ? alone : counts.indexOf(1 + schema.names.length);
    if (this.pointsOutput < 0 || description.has_confidence !== (this.confidenceOutput >= 0)) {
      throw new LandmarkError(`${description.model.file}: its outputs are not those of ` +
        "landmarker.json; write the folder again with efld-export --web");
    }
    /** Models run one at a time. @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  /**
   * Loads a model that `efld-export --web` wrote, with the detector beside it.
   * @param {string | URL} folder The address of the model's folder.
   * @param {import("./runtime.js").RuntimeOptions} options
   * @throws {LandmarkError} A file is missing or unfit, or the browser cannot run it.
   */
  static async load(folder, options = {}) {
    const {description, url} = await readDescription(folder);
    await loadRuntime(options);
    const files = [description.model.file, description.detector.file];
    const [model, detector] = await allOf(files.map((file) => Model.load(new URL(file, url))));
    return new FaceLandmarker(description, model,
      new AnyAngleDetector(new FaceDetector(detector, description.detector), description.grid));
  }

  /** The landmarks: their names and parts. */
  get schema() {
    return this.description.schema;
  }

  /** The terms of the model's weights. */
  get license() {
    return this.description.model.license;
  }

  /**
   * The faces of a photo.
   * @param {Picture} picture
   * @returns {Promise<Face[]>} In the order of the detector's scores.
   * @throws {LandmarkError} It is no picture that can be read.
   */
  find(picture) {
    return this.inTurn(async () => {
      const {pixels, scale} = await this.reader.read(picture);
      const least = this.description.finding.min_confidence;
      const found = await this.lookedAt(pixels, await this.detector.detect(pixels), least);
      return found.map(({face}) => scaled(face, scale));
    });
  }

  /**
   * A tracker for the faces of one video.
   * @param {Partial<import("./bundle.js").Tracking>} options
   * @throws {LandmarkError} An option is unknown or out of its range.
   */
  track(options = {}) {
    return new FaceTracker(this, {...this.description.tracking, ...options});
  }

  /**
   * Follows the faces of a video, frame by frame, until the returned function is called.
   * @param {HTMLVideoElement} video
   * @param {(faces: Face[], frame: HTMLCanvasElement | OffscreenCanvas) => void} tell Gets the faces
   *   of each frame, and a canvas with that frame, which the next one is drawn on: by then the video
   *   itself may show another one.
   * @param {(error: unknown) => void} fail Gets what goes wrong; the next frame is tried again.
   * @returns {() => void}
   */
  follow(video, tell, fail = console.error) {
    const tracker = this.track();
    let stopped = false;
    const next = () => {
      if (stopped) return;
      if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(step);
      else requestAnimationFrame(step);
    };
    const step = async () => {
      try {
        if (!stopped && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
          const faces = await tracker.update(video, performance.now() / 1000);
          if (!stopped) tell(faces, this.reader.canvas);
        }
      } catch (error) {
        fail(error);
      }
      next();
    };
    next();
    return () => { stopped = true; };
  }

  /**
   * Does something after what is being done: a model holds its tensors.
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  inTurn(action) {
    const result = this.last.then(action);
    this.last = result.catch(() => undefined);
    return result;
  }

  /**
   * Detected faces with their points, without those that are none.
   * @param {Pixels} pixels
   * @param {readonly Detection[]} detections
   * @param {number} least Faces that are less sure are left out.
   * @returns {Promise<Found[]>}
   */
  async lookedAt(pixels, detections, least) {
    const {passes} = this.description.finding;
    const found = [];
    for (const detection of detections) {
      let crop = this.crops.ofDetection(detection);
      let look = await this.look(pixels, crop);
      for (let pass = 1; pass < passes && !this.same(crop, look.around); pass++) {
        crop = look.around;
        look = await this.look(pixels, crop);
      }
      const agreed = this.agreement(look.points, detection);
      const confidence = look.confidence * this.weight(agreed);
      const {points, depth, errors} = look, {box, score} = detection;
      const face = {points, box, score, confidence, depth, errors,
        expectedNme: expectedNme(this.schema, points, errors)};
      if (confidence >= least) found.push({face, crop, agreed});
    }
    return this.distinct(found);
  }

  /**
   * What the model sees in a crop.
   *
   * The confidence of a model that gives none is 1 where the points may belong to the face that the
   * crop shows, and 0 elsewhere.
   * @param {Pixels} pixels
   * @param {Crop} crop
   * @returns {Promise<Look>}
   */
  async look(pixels, crop) {
    // Points that lie on no face may ask for any square.
    const possible = crop.side < this.description.finding.largest
      * Math.max(pixels.width, pixels.height);
    const seen = possible ? crop : new Crop(0, 0, 1);
    extractCrop(pixels, seen, this.description.input_size, this.input);
    const outputs = await this.model.run(this.input), values = outputs[this.pointsOutput];
    const points = this.schema.names.map((_, index) =>
      seen.fromUnit({x: values[2 * index], y: values[2 * index + 1]}));
    const around = this.crops.around(points);
    const [sure, ...errors] = outputs[this.confidenceOutput] ?? [1];
    const inPixels = (/** @type {ArrayLike<number>} */ values) =>
      Array.from(values, (value) => value * seen.side);
    return {points, depth: inPixels(outputs[this.depthOutput] ?? []), errors: inPixels(errors),
      confidence: possible && this.consistent(crop, around) ? sure : 0, around};
  }

  /**
   * How well points agree with what the detector saw, 0 to 1.
   * @param {readonly Point[]} points
   * @param {Detection} detection
   */
  agreement(points, detection) {
    const {side} = this.crops.reference(detection);
    return agreement(this.description.agreement, points, detection, side);
  }

  /**
   * The factor of a face's confidence whose points agree so far with what a detector sees.
   * @param {number} agreed
   */
  weight(agreed) {
    const {elsewhere} = this.description.finding;
    return elsewhere + (1 - elsewhere) * agreed;
  }

  /**
   * The box by which faces are told apart; of a part of the face it is a square, since boxes of
   * eyes are too flat to overlap.
   * @param {readonly Point[]} points
   */
  extent(points) {
    const box = tightBox(points);
    return this.schema.is_part ? squared(box) : box;
  }

  /**
   * Whether a look at `around` would show what one at `crop` did.
   * @param {Crop} crop
   * @param {Crop} around
   */
  same(crop, around) {
    const {still} = this.description.finding, turn = around.angle - crop.angle;
    return Math.abs(around.x - crop.x) < still * crop.side
      && Math.abs(around.y - crop.y) < still * crop.side
      && Math.abs(around.side / crop.side - 1) < still
      && Math.abs(Math.atan2(Math.sin(turn), Math.cos(turn))) < still;
  }

  /**
   * Whether points whose crop is `around` may belong to the face that `crop` shows.
   * @param {Crop} crop
   * @param {Crop} around
   */
  consistent(crop, around) {
    const {farthest, largest_change: largest} = this.description.finding;
    const change = around.side / crop.side;
    return Math.abs(around.x - crop.x) < farthest * crop.side
      && Math.abs(around.y - crop.y) < farthest * crop.side
      && 1 / largest < change && change < largest;
  }

  /**
   * Faces, in their order, without those whose points lie on those of a surer one.
   * @param {readonly Found[]} found
   */
  distinct(found) {
    /** @type {Found[]} */
    const kept = [];
    for (const one of [...found].sort((a, b) => b.face.confidence - a.face.confidence)) {
      const box = this.extent(one.face.points);
      if (!kept.some(({face}) => this.samePoints(box, face.points))) kept.push(one);
    }
    return found.filter((one) => kept.includes(one));
  }

  /**
   * Whether a face with this extent is the one with those points.
   * @param {Box} box
   * @param {readonly Point[]} points
   */
  samePoints(box, points) {
    return iou(box, this.extent(points)) > this.description.finding.same_points_iou;
  }

  /** Frees the memory of the models, after what is being done. */
  delete() {
    return this.inTurn(async () => {
      this.model.delete();
      this.detector.detector.model.delete();
    });
  }
}

/**
 * All models; if one fails, the others are freed.
 * @param {Promise<Model>[]} loading
 */
async function allOf(loading) {
  const settled = await Promise.allSettled(loading);
  const failed = settled.find((one) => one.status === "rejected");
  const models = settled.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
  if (failed) {
    for (const model of models) model.delete();
    throw failed.reason;
  }
  return models;
}
