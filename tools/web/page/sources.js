// Where pictures come from: photos, videos, the camera.
import {LandmarkError} from "../efld/index.js";

/** The longest side of a photo as it is drawn. */
const LONGEST = 1600;
/** What to do where a camera cannot be had, by the name of the browser's error. */
const REFUSED = Object.freeze({
  NotAllowedError: "The camera was refused. Allow it beside the page's address and press Camera " +
    "again, or choose a photo.",
  NotFoundError: "There is no camera. Choose a photo or a video.",
  NotReadableError: "The camera is in use by another program. Close that, or choose a photo.",
});

/**
 * A photo as a canvas of at most `LONGEST`.
 * @param {Blob} file
 */
export async function openPhoto(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {imageOrientation: "from-image"});
  } catch {
    throw new LandmarkError("This file is no photo that the browser can read.");
  }
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", {alpha: false}));
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas;
}

/**
 * A video that plays.
 * @param {Blob} file
 */
export async function openVideo(file) {
  const video = document.createElement("video"), address = URL.createObjectURL(file);
  video.src = address;
  video.loop = true;
  try {
    await play(video);
    if (!video.videoWidth) throw new Error("sound alone");
  } catch {
    URL.revokeObjectURL(address);
    throw new LandmarkError("This file is no video that the browser can play.");
  }
  return {video, close: () => {
    video.pause();
    URL.revokeObjectURL(address);
  }};
}

/**
 * The camera of the user's side.
 * @param {() => void} ended Is called if it stops by itself.
 */
export async function openCamera(ended) {
  if (!navigator.mediaDevices) {
    throw new LandmarkError("Cameras need a page of https or of localhost. Choose a photo.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: {facingMode: "user", width: {ideal: 1280}, height: {ideal: 720}},
    });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const reason = /** @type {Record<string, string>} */ (REFUSED)[name];
    throw new LandmarkError(reason ?? `The camera cannot be had: ${error}`);
  }
  const video = document.createElement("video");
  video.srcObject = stream;
  const close = () => stream.getTracks().forEach((track) => track.stop());
  try {
    await play(video);
  } catch (error) {
    close();
    throw error;
  }
  for (const track of stream.getVideoTracks()) track.addEventListener("ended", ended);
  return {video, close};
}

/** @param {HTMLVideoElement} video */
async function play(video) {
  video.muted = true;
  video.playsInline = true;
  await video.play();
}
