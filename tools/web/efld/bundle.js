// The folder of a model, and the description in it that `efld-export --web` writes
// (efld_tf/runtime/portable.py).
import {LandmarkError} from "./errors.js";

const FILE = "landmarker.json", FORMAT = 1;

/**
 * @typedef {{x: number, y: number, side: number}} Square
 *
 * @typedef {object} Part A named run of points.
 * @property {string} name
 * @property {number[]} points
 * @property {boolean} closed Whether its line returns to its start.
 * @property {boolean} line Whether it has a line.
 *
 * @typedef {{right: number[], left: number[]} | {box: string}} Normaliser The distance between the
 *   means of two groups of points, or a size of the points' box.
 *
 * @typedef {object} Schema The landmarks; left and right are the person's own.
 * @property {string} name
 * @property {string} title
 * @property {string[]} names Of the points, in their order.
 * @property {Part[]} parts
 * @property {Record<string, number[]>} anchors
 * @property {number[]} nose_tip
 * @property {Normaliser} [normaliser] What expected errors are divided by; none in older bundles.
 * @property {boolean} is_part Whether the points are those of a part of the face.
 *
 * @typedef {object} CropOptions
 * @property {Square} shown The model's crop in the reference crop.
 * @property {number[][]} anchors Eyes and corners of the mouth in the reference crop.
 * @property {number[][] | null} weights
 * @property {number[][] | null} mean_shape
 * @property {{scale: number, x: number, y: number} | null} rule
 * @property {{x: number, y: number, keypoints: number[]} | null} moved
 *
 * @typedef {object} DetectorOptions Scores, angles in radians, and shares of sides; what they
 *   stand for is said in efld_tf/runtime/any_angle.py.
 * @property {number} upright
 * @property {number} sure
 * @property {number} sure_large
 * @property {number} large
 * @property {number} share
 * @property {number} near
 * @property {number} sure_near
 * @property {number} least_near
 * @property {number} sure_turned
 * @property {number} clearly
 * @property {number} hardly
 * @property {number} most_inside
 * @property {number} sure_border
 * @property {number} doubtful
 * @property {number} both_looks
 * @property {number} second_look
 * @property {number} input_size
 * @property {[cells: number, count: number][]} grids
 * @property {number} min_score
 * @property {number} same_face_iou
 * @property {number} largest
 * @property {Square} crop The reference crop in a detector's box.
 *
 * @typedef {object} Agreement
 * @property {number} distance
 * @property {number} eyes
 * @property {number} bias
 * @property {Record<string, number[][]>} places
 *
 * @typedef {object} Finding
 * @property {number} passes
 * @property {number} min_confidence
 * @property {number} same_points_iou
 * @property {number} farthest
 * @property {number} largest_change
 * @property {number} still
 * @property {number} elsewhere
 * @property {number} largest
 *
 * @typedef {object} Tracking
 * @property {number} detect_seconds How often new faces are looked for while some are followed.
 * @property {number} search_seconds How often faces are looked for while there is none.
 * @property {number} min_confidence
 * @property {number} remember_seconds How long a lost face keeps its number.
 * @property {boolean} smooth Whether points are filtered.
 * @property {number} same_place_iou
 * @property {number} nobody
 * @property {number} early
 *
 * @typedef {object} Description
 * @property {number} format
 * @property {{file: string, license: string}} model
 * @property {number} input_size
 * @property {boolean} has_confidence
 * @property {Schema} schema
 * @property {CropOptions} crop
 * @property {import("./crop.js").Grid} grid
 * @property {DetectorOptions & {file: string}} detector
 * @property {Agreement} agreement
 * @property {Finding} finding
 * @property {Tracking} tracking
 * @property {{min_cutoff: number, beta: number, derivative_cutoff: number}} smoothing
 */

/**
 * Reads the description of a model.
 * @param {string | URL} folder The model's folder, or the description in it.
 * @returns {Promise<{description: Description, url: URL}>} With its own address.
 * @throws {LandmarkError} It is not there, or is of another version.
 */
export async function readDescription(folder) {
  const given = new URL(folder, globalThis.document?.baseURI);
  const url = given.pathname.endsWith(".json") ? given
    : new URL(FILE, given.pathname.endsWith("/") ? given : new URL(`${given.pathname}/`, given));
  const text = new TextDecoder().decode(await fetchBytes(url));
  let description;
  try {
    description = JSON.parse(text);
  } catch {
    throw new LandmarkError(`${url}: expected the ${FILE} that efld-export --web writes`);
  }
  if (description?.format !== FORMAT) {
    throw new LandmarkError(
      `${url}: expected format ${FORMAT}; write the folder again with efld-export --web`);
  }
  return {description, url};
}

/**
 * The content of a file.
 * @param {URL} url
 * @returns {Promise<Uint8Array>}
 * @throws {LandmarkError} It cannot be fetched.
 */
export async function fetchBytes(url) {
  let status;
  try {
    const response = await fetch(url);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    status = `${response.status} ${response.statusText}`.trim();
  } catch (error) {
    status = error instanceof Error ? error.message : String(error);
  }
  throw new LandmarkError(`${url}: cannot be fetched: ${status}`);
}
