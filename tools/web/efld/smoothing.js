/**
 * The One-Euro filter for landmarks: calm while a face is still, quick while it moves.
 *
 * G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy
 * Input in Interactive Systems", CHI 2012, Algorithm 1. Each point is low-pass filtered with a
 * cutoff frequency that grows with its speed, in face sizes a second.
 */
export class OneEuroFilter {
  /** @param {{min_cutoff: number, beta: number, derivative_cutoff: number}} options In Hz. */
  constructor(options) {
    this.options = options;
    this.seconds = 0;
    /** @type {number[][] | null} The last smoothed ones. */
    this.points = null;
    /** @type {number[][]} */
    this.velocities = [];
  }

  /**
   * Smooths the points of the next frame.
   * @param {readonly (readonly number[])[]} points Two or three coordinates each, in pixels.
   * @param {number} seconds The frame's time, later than the last one's.
   * @param {number} faceSize The size of the face in pixels, above 0.
   * @returns {number[][]} Those of the first frame are unchanged.
   */
  update(points, seconds, faceSize) {
    const last = this.points, step = seconds - this.seconds;
    const {min_cutoff, beta, derivative_cutoff} = this.options;
    if (!last) {
      this.velocities = points.map((point) => point.map(() => 0));
      this.points = points.map((point) => [...point]);
    } else {
      const calm = weight(derivative_cutoff, step), unit = step * faceSize;
      this.points = points.map((point, index) => {
        const before = last[index];
        const velocity = this.velocities[index].map((speed, axis) =>
          speed + calm * ((point[axis] - before[axis]) / unit - speed));
        this.velocities[index] = velocity;
        const share = weight(min_cutoff + beta * Math.hypot(...velocity), step);
        return point.map((value, axis) => before[axis] + share * (value - before[axis]));
      });
    }
    this.seconds = seconds;
    return this.points.map((point) => [...point]);
  }
}

/**
 * The weight of a new value in a low-pass filter.
 * @param {number} cutoff In Hz.
 * @param {number} step In seconds.
 */
function weight(cutoff, step) {
  return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
}
