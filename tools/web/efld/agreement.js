// How well a model's points agree with what a detector sees (efld_tf/runtime/agreement.py): a model
// that has learnt no profiles puts their points somewhere, and takes them for as sure as others.
import {mean} from "./crop.js";

/**
 * How sure it is that points are those of the face that a detector saw, 0 to 1.
 *
 * It is 1 where the schema has none of the detector's key points.
 * @param {import("./bundle.js").Agreement} fitted
 * @param {readonly import("./crop.js").Point[]} points
 * @param {import("./detector.js").Detection} detection
 * @param {number} side That of the face's reference crop.
 */
export function agreement(fitted, points, detection, side) {
  const distances = Object.entries(fitted.places).map(([keypoint, groups]) => {
    const place = mean(groups.map((group) => mean(group.map((index) => points[index]))));
    return apart(place, detection.keypoints[Number(keypoint)]);
  });
  if (!distances.length) return 1;
  const distance = distances.reduce((sum, value) => sum + value, 0) / distances.length / side;
  const eyes = apart(detection.keypoints[0], detection.keypoints[1]) / side;
  const odds = fitted.distance * distance + fitted.eyes * eyes + fitted.bias;
  return 1 / (1 + Math.exp(-Math.min(Math.max(odds, -50), 50)));
}

/**
 * @param {import("./crop.js").Point} a
 * @param {import("./crop.js").Point} b
 */
function apart(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
