// Follows faces from frame to frame (efld_tf/runtime/tracker.py).
import {tightBox} from "./crop.js";
import {LandmarkError} from "./errors.js";
import {expectedNme, scaled} from "./face.js";
import {iou} from "./overlap.js";
import {OneEuroFilter} from "./smoothing.js";

/**
 * @typedef {import("./bundle.js").Tracking} Tracking
 * @typedef {import("./crop.js").Crop} Crop
 * @typedef {import("./face.js").Face} Face
 * @typedef {import("./landmarker.js").FaceLandmarker} FaceLandmarker
 * @typedef {import("./landmarker.js").Found} Found
 * @typedef {import("./pixels.js").Pixels} Pixels
 *
 * @typedef {object} Track A person who is followed.
 * @property {number} number
 * @property {Face} face The last face, as the model saw it.
 * @property {Crop} crop Where to look for it in the next frame.
 * @property {number} agreed How well its points agreed with what the detector saw the last times.
 * @property {number} seen The time of the last face.
 * @property {OneEuroFilter} filter What smooths its points.
 */

/**
 * Follows the faces of one video.
 *
 * In each frame the model looks where every face was in the last one. The detector, which takes many
 * times longer, runs only to find newcomers and lost faces.
 */
export class FaceTracker {
  /**
   * @param {FaceLandmarker} landmarker
   * @param {Tracking} options
   */
  constructor(landmarker, options) {
    for (const [name, value] of Object.entries(options)) {
      const known = landmarker.description.tracking[/** @type {keyof Tracking} */ (name)];
      if (typeof value !== typeof known || typeof value === "number" && !(value >= 0)) {
        throw new LandmarkError(`track: ${name}: ${known === undefined ? "no such option"
          : "expected a number from 0 on, or true or false for smooth"}`);
      }
    }
    this.landmarker = landmarker;
    this.options = options;
    /** @type {Track[]} */
    this.tracks = [];
    /** @type {Track[]} */
    this.lost = [];
    this.next = 0;
    /** How often the detector ran, and when it did last. */
    this.detections = 0;
    this.detected = -Infinity;
    this.seconds = -Infinity;
  }

  /**
   * The faces of the next frame.
   * @param {import("./pictures.js").Picture} frame
   * @param {number} seconds Its time, later than the last one's.
   * @returns {Promise<Face[]>} In the order of their numbers, `track`.
   * @throws {LandmarkError} The time does not go on, or it is no picture that can be read.
   */
  update(frame, seconds) {
    return this.landmarker.inTurn(async () => {
      if (!(seconds > this.seconds && seconds < Infinity)) {
        throw new LandmarkError(`a frame at ${seconds} s after one at ${this.seconds} s`);
      }
      const {pixels, scale} = await this.landmarker.reader.read(frame);
      this.seconds = seconds;
      const lost = await this.follow(pixels);
      const {detect_seconds: often, search_seconds: search, early} = this.options;
      const wait = this.tracks.length ? often : search;
      if (lost || seconds - this.detected >= wait - early) await this.detect(pixels);
      return this.tracks.sort((a, b) => a.number - b.number)
        .map((track) => scaled(this.shown(track), scale));
    });
  }

  /**
   * Moves every track to its place in this frame, and returns whether one was lost.
   * @param {Pixels} pixels
   */
  async follow(pixels) {
    const {landmarker} = this, {min_confidence: least, nobody} = this.options;
    const looks = [];
    for (const track of this.tracks) {
      const look = await landmarker.look(pixels, track.crop);
      looks.push({track, ...look, confidence: look.confidence * landmarker.weight(track.agreed)});
    }
    /** @type {Track[]} */
    const followed = [];
    // If two tracks end on one face, the surer one keeps it.
    for (const {track, points, depth, errors, confidence, around} of
      looks.sort((a, b) => b.confidence - a.confidence)) {
      const box = landmarker.extent(points);
      if (confidence < Math.max(least, nobody)
        || followed.some((other) => landmarker.samePoints(box, other.face.points))) {
        this.lost.push(track);
        continue;
      }
      track.face = {...track.face, points, depth, errors, confidence};
      track.crop = around;
      track.seen = this.seconds;
      followed.push(track);
    }
    const lost = followed.length < this.tracks.length;
    this.tracks = followed;
    return lost;
  }

  /**
   * Looks for faces that are not followed, and gives them numbers.
   * @param {Pixels} pixels
   */
  async detect(pixels) {
    const {landmarker} = this;
    this.detected = this.seconds;
    this.detections++;
    this.lost = this.lost.filter((track) =>
      track.seen >= this.seconds - this.options.remember_seconds);
    const newcomers = landmarker.description.has_confidence
      ? await this.others(pixels) : await this.stillThere(pixels);
    for (const {face, agreed} of newcomers) {
      if (this.overlapped(face, this.tracks)) continue;
      const back = this.overlapped(face, this.lost);
      if (back) this.lost.splice(this.lost.indexOf(back), 1);
      this.tracks.push({
        number: back ? back.number : this.next++, face, agreed, seen: this.seconds,
        crop: landmarker.crops.around(face.points),
        filter: new OneEuroFilter(landmarker.description.smoothing),
      });
    }
  }

  /**
   * Detected faces that are not followed; of the others, what the detector sees is noted.
   * @param {Pixels} pixels
   */
  async others(pixels) {
    const {landmarker, tracks} = this;
    const known = tracks.map((track) => landmarker.crops.asDetection(track.crop));
    const newcomers = await landmarker.detector.detect(pixels, known);
    const seen = await landmarker.detector.seenAgain(pixels, known);
    tracks.forEach((track, index) => {
      const detection = seen[index], [x0, y0, x1, y1] = known[index].box;
      if (detection) {
        note(track, landmarker.agreement(track.face.points, detection));
      } else if (x0 >= 0 && y0 >= 0 && x1 <= pixels.width && y1 <= pixels.height) {
        note(track, 0); // those at the border are not seen from near by
      }
    });
    return landmarker.lookedAt(pixels, newcomers, this.options.min_confidence);
  }

  /**
   * For a model without a confidence: nobody but the detector can tell that a face is gone.
   * @param {Pixels} pixels
   */
  async stillThere(pixels) {
    const {landmarker} = this;
    const found = await landmarker.lookedAt(
      pixels, await landmarker.detector.detect(pixels), this.options.min_confidence);
    const followed = [];
    for (const track of this.tracks) {
      const seen = this.overlapped(track.face, found);
      if (seen) {
        note(track, seen.agreed);
        followed.push(track);
      } else {
        this.lost.push(track);
      }
    }
    this.tracks = followed;
    return found;
  }

  /**
   * The one whose points' box a face overlaps most, if it overlaps one.
   * @template {{face: Face}} T
   * @param {Face} face
   * @param {readonly T[]} others
   * @returns {T | null}
   */
  overlapped(face, others) {
    const box = this.landmarker.extent(face.points);
    let best = null, most = this.options.same_place_iou;
    for (const other of others) {
      const overlap = iou(box, this.landmarker.extent(other.face.points));
      if (overlap > most) [best, most] = [other, overlap];
    }
    return best;
  }

  /**
   * A face with its number, smoothed or not.
   * @param {Track} track
   * @returns {Face}
   */
  shown({face, filter, number}) {
    let {points, depth} = face;
    if (this.options.smooth) {
      const [x0, y0, x1, y1] = tightBox(points);
      const values = points.map(({x, y}, index) => depth.length ? [x, y, depth[index]] : [x, y]);
      const smooth = filter.update(values, this.seconds, Math.max(x1 - x0, y1 - y0));
      points = smooth.map(([x, y]) => ({x, y}));
      if (depth.length) depth = smooth.map(([, , z]) => z);
    }
    return {...face, points, depth, box: tightBox(points), track: number,
      expectedNme: expectedNme(this.landmarker.schema, points, face.errors)};
  }
}

/**
 * Heads turn, and a look may err: the mean with the last times.
 * @param {Track} track
 * @param {number} agreed
 */
function note(track, agreed) {
  track.agreed = (track.agreed + agreed) / 2;
}
