// Points, mesh, and the line between before and after, over the picture.
import {triangles} from "./triangles.js";

/** @typedef {import("../efld/face.js").Face} Face */

const COLOUR = "#35e0c5";

/** Draws over a picture. */
export class Overlay {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    /** @type {number[][] | null} The same for all frames, or it would flicker. */
    this.mesh = null;
  }

  /** Forgets the mesh, for points of another model. */
  reset() {
    this.mesh = null;
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {readonly Face[]} faces
   * @param {{points: boolean, mesh: boolean, split: number}} shown `split` is a share of the width.
   */
  draw(width, height, faces, {points, mesh, split}) {
    const {canvas, context} = this, line = split > 0 && split < 1;
    // Not only cleared: Chromium was seen to show an older frame of a canvas that is empty.
    canvas.hidden = !(points || mesh || line);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    } else {
      context.clearRect(0, 0, width, height);
    }
    if (line) {
      context.fillStyle = "#fff";
      context.fillRect(split * width - 1, 0, 2, height);
    }
    for (const face of faces) {
      const places = face.points.map(({x, y}) => ({x: x + 0.5, y: y + 0.5}));
      const unit = Math.max(1, (face.box[2] - face.box[0]) / 160);
      context.strokeStyle = context.fillStyle = COLOUR;
      if (mesh) {
        this.mesh ??= triangles(places);
        context.lineWidth = 0.5 * unit;
        context.beginPath();
        for (const [a, b, c] of this.mesh) {
          context.moveTo(places[a].x, places[a].y);
          for (const index of [b, c, a]) context.lineTo(places[index].x, places[index].y);
        }
        context.stroke();
      }
      if (points) {
        context.beginPath();
        for (const {x, y} of places) {
          context.moveTo(x + unit, y);
          context.arc(x, y, unit, 0, 2 * Math.PI);
        }
        context.fill();
      }
    }
  }
}
