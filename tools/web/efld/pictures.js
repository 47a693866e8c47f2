// The pixels of what a page shows: photos, videos, canvases.
import {LandmarkError} from "./errors.js";

/**
 * @typedef {import("./pixels.js").Pixels} Pixels
 * @typedef {ImageData | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas
 *   | ImageBitmap | VideoFrame | Blob} Picture A `Blob` is a file of a photo.
 */

/** Browsers refuse canvases with a longer side, or many of them; larger photos are shrunk. */
const LONGEST = 4096;

/** What can be drawn or read; older browsers have no `VideoFrame`. */
const KINDS = ["ImageData", "HTMLImageElement", "HTMLVideoElement", "HTMLCanvasElement",
  "OffscreenCanvas", "ImageBitmap", "VideoFrame", "Blob"].map((name) =>
  /** @type {any} */ (globalThis)[name]).filter((kind) => kind);

/** Reads pictures, one after another, by one canvas. */
export class PictureReader {
  constructor() {
    this.canvas = typeof OffscreenCanvas === "undefined" ? document.createElement("canvas")
      : new OffscreenCanvas(1, 1);
    const context = this.canvas.getContext("2d", {willReadFrequently: true, alpha: false});
    if (!context) throw new LandmarkError("the browser has no canvas left");
    this.context = /** @type {OffscreenCanvasRenderingContext2D} */ (context);
  }

  /**
   * The pixels of a picture as it is now (`ImageData` are not drawn on the canvas), and how many of the picture's own are one of them.
   * @param {Picture} picture
   * @returns {Promise<{pixels: Pixels, scale: number}>}
   * @throws {LandmarkError} It has no size yet, or is no picture.
   */
  async read(picture) {
    if (!KINDS.some((kind) => picture instanceof kind)) {
      throw new LandmarkError(
        `expected an image, a video, a canvas, a bitmap or a file, got ${picture}`);
    }
    if (picture instanceof ImageData) return {pixels: new DataPixels(picture), scale: 1};
    if (picture instanceof Blob) {
      const bitmap = await bitmapOf(picture);
      try {
        return this.draw(bitmap);
      } finally {
        bitmap.close();
      }
    }
    return this.draw(picture);
  }

  /** @param {Exclude<Picture, ImageData | Blob>} picture */
  draw(picture) {
    const [fullWidth, fullHeight] = sizeOf(picture);
    const early = picture instanceof HTMLVideoElement
      && picture.readyState < HTMLMediaElement.HAVE_CURRENT_DATA;
    if (early || !(fullWidth > 0 && fullHeight > 0)) {
      throw new LandmarkError("the picture is not there yet: wait until it is loaded");
    }
    const scale = Math.max(1, Math.max(fullWidth, fullHeight) / LONGEST);
    const width = Math.max(1, Math.round(fullWidth / scale));
    const height = Math.max(1, Math.round(fullHeight / scale));
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    // What is transparent is black, as for the toolkit in Python, and not the last picture.
    this.context.fillRect(0, 0, width, height);
    this.context.drawImage(picture, 0, 0, width, height);
    return {pixels: new CanvasPixels(this.context, width, height), scale};
  }
}

/**
 * The size of a picture in pixels, upright.
 * @param {Exclude<Picture, ImageData | Blob>} picture
 */
export function sizeOf(picture) {
  if (picture instanceof HTMLVideoElement) return [picture.videoWidth, picture.videoHeight];
  if (picture instanceof HTMLImageElement) return [picture.naturalWidth, picture.naturalHeight];
  if ("displayWidth" in picture) return [picture.displayWidth, picture.displayHeight];
  return [picture.width, picture.height];
}

/** @param {Blob} file */
async function bitmapOf(file) {
  try {
    return await createImageBitmap(file, {imageOrientation: "from-image"});
  } catch {
    throw new LandmarkError("the file is no photo that this browser can read");
  }
}

/** @implements {Pixels} */
class CanvasPixels {
  /**
   * @param {OffscreenCanvasRenderingContext2D} context
   * @param {number} width
   * @param {number} height
   */
  constructor(context, width, height) {
    this.context = context;
    this.width = width;
    this.height = height;
  }

  /**
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   */
  read(left, top, right, bottom) {
    const width = right - left, height = bottom - top;
    try {
      const {data} = this.context.getImageData(left, top, width, height);
      return {left, top, width, height, data};
    } catch {
      throw new LandmarkError("the picture is of another site that lets no page read it: its server " +
        "has to allow it, and the element needs the attribute crossorigin");
    }
  }
}

/** @implements {Pixels} */
class DataPixels {
  /** @param {ImageData} image */
  constructor({width, height, data}) {
    this.width = width;
    this.height = height;
    this.data = data;
  }

  /**
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   */
  read(left, top, right, bottom) {
    const width = right - left, height = bottom - top;
    if (width === this.width && height === this.height) {
      return {left, top, width, height, data: this.data};
    }
    const data = new Uint8ClampedArray(4 * width * height);
    for (let row = 0; row < height; row++) {
      const start = 4 * ((top + row) * this.width + left);
      data.set(this.data.subarray(start, start + 4 * width), 4 * width * row);
    }
    return {left, top, width, height, data};
  }
}
