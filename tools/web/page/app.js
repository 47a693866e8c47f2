// The make-up page: sources, landmarks, make-up, and what is said of them.
import {FaceLandmarker} from "../efld/index.js";
import {Controls} from "./controls.js";
import {Overlay} from "./overlay.js";
import {partsOf} from "./parts.js";
import {wearable} from "./products.js";
import {Renderer} from "./renderer.js";
import {openCamera, openPhoto, openVideo} from "./sources.js";

/** @typedef {import("../efld/landmarker.js").Face} Face */

/** Without a face for so long, the page says so. */
const LOST_SECONDS = 1;

/**
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no ${id} in the page`);
  return found;
}

const view = element("view", HTMLCanvasElement), split = element("split", HTMLInputElement);
const picture = /** @type {HTMLElement} */ (view.parentElement);
const points = element("points", HTMLInputElement), mesh = element("mesh", HTMLInputElement);
const models = element("model", HTMLSelectElement);

/** The page's one state. */
class App {
  constructor() {
    this.renderer = new Renderer(view);
    this.overlay = new Overlay(element("overlay", HTMLCanvasElement));
    /** @type {Face[]} */
    this.faces = [];
    /** @type {FaceLandmarker | null} */
    this.landmarker = null;
    /** @type {{canvas: HTMLCanvasElement} | {video: HTMLVideoElement, close: () => void} | null} */
    this.source = null;
    /** Counts sources: what belongs to an older one ends. */
    this.turn = 0;
    this.controls = new Controls(element("looks", HTMLElement), element("products", HTMLElement),
      () => this.show());
  }

  /**
   * Loads a model and takes it for the source that is shown.
   * @param {string} name
   */
  async useModel(name) {
    say(`Loading the model ${name}…`);
    const landmarker = await FaceLandmarker.load(`models/${name}`, {
      threads: Math.min(2, navigator.hardwareConcurrency || 1)});
    const old = this.landmarker;
    this.landmarker = landmarker;
    old?.inTurn(async () => old.delete());
    this.overlay.reset();
    element("license", HTMLElement).textContent =
      `${landmarker.schema.title}. Licence of the weights: ${landmarker.license}`;
    say("");
    if (this.source) await this.start(this.source);
  }

  /**
   * Shows another picture or video.
   * @param {NonNullable<App["source"]>} source
   * @param {boolean} mirrored Whether it is shown as in a mirror.
   */
  async start(source, mirrored = picture.classList.contains("mirrored")) {
    if (this.source !== source) this.close();
    this.source = source;
    picture.classList.toggle("mirrored", mirrored);
    const turn = ++this.turn;
    if ("canvas" in source) {
      await this.showPhoto(source.canvas);
    } else {
      this.follow(source.video, turn);
    }
  }

  /** Ends the source. */
  close() {
    if (this.source && "close" in this.source) this.source.close();
    this.source = null;
    element("numbers", HTMLElement).textContent = "";
  }

  /** @param {HTMLCanvasElement} canvas */
  async showPhoto(canvas) {
    if (!this.landmarker) return;
    const started = performance.now();
    const faces = await this.landmarker.find(canvas);
    const milliseconds = performance.now() - started;
    this.renderer.upload(canvas, canvas.width, canvas.height);
    this.take(faces);
    say(faces.length ? "" : "No face found. Choose a photo in which one fills a sixth or more.");
    tell(faces, `${milliseconds.toFixed(0)} ms`);
  }

  /**
   * Follows the faces of a video until another source comes.
   * @param {HTMLVideoElement} video
   * @param {number} turn
   */
  async follow(video, turn) {
    const tracker = /** @type {FaceLandmarker} */ (this.landmarker).track();
    /** @type {number[]} The times of the last second's frames, and what the landmarks took. */
    let times = [], took = 0, seen = performance.now();
    const step = async () => {
      if (turn !== this.turn) return;
      const started = performance.now();
      if (video.videoWidth) {
        // Both take the same frame, before anything is waited for.
        this.renderer.upload(video, video.videoWidth, video.videoHeight);
        const faces = await tracker.update(video, started / 1000);
        if (turn !== this.turn) return;
        took += 0.1 * (performance.now() - started - took);
        this.take(faces);
        if (faces.length) seen = started;
        const lost = started - seen > 1000 * LOST_SECONDS;
        say(lost ? "No face found. Look into the camera, nearer and in more light." : "");
        times = [...times.filter((time) => time > started - 1000), started];
        tell(faces, `${took.toFixed(1)} ms a frame, ${times.length} frames/s`);
      }
      next();
    };
    const guarded = () => step().catch(fail);
    const next = () => "requestVideoFrameCallback" in video
      ? video.requestVideoFrameCallback(guarded) : requestAnimationFrame(guarded);
    next();
  }

  /**
   * Takes the faces of the frame that was uploaded, and shows them.
   * @param {Face[]} faces
   */
  take(faces) {
    this.faces = faces;
    this.show();
    // For scripts and tests.
    view.dispatchEvent(new CustomEvent("faces", {detail: faces}));
  }

  /** Draws the frame anew. */
  show() {
    const {landmarker, renderer} = this;
    if (!landmarker || !this.source || !renderer.width) return;
    const parts = this.faces.map((face) => partsOf(face.points, landmarker.schema));
    if (parts.length) this.controls.allow(wearable(parts[0]));
    const share = Number(split.value) / 100, mirrored = picture.classList.contains("mirrored");
    renderer.draw(parts, this.controls.look, mirrored ? [0, 1 - share] : [share, 1]);
    this.overlay.draw(renderer.width, renderer.height, this.faces, {points: points.checked,
      mesh: mesh.checked, split: mirrored ? 1 - share : share});
  }
}

/** @param {string} text */
function say(text) {
  const status = element("status", HTMLElement);
  // A screen reader reads what changes.
  if (status.textContent !== text) status.textContent = text;
}

/**
 * @param {readonly Face[]} faces
 * @param {string} speed
 */
function tell(faces, speed) {
  const count = faces.length === 1 ? "1 face" : `${faces.length} faces`;
  element("numbers", HTMLElement).textContent = `${count}, ${speed}`;
}

/** @param {unknown} error */
function fail(error) {
  say(error instanceof Error ? error.message : String(error));
}

/**
 * Runs what a control starts, and says what fails.
 * @param {HTMLElement} control
 * @param {string} event
 * @param {() => Promise<void>} action
 */
function on(control, event, action) {
  control.addEventListener(event, () => action().catch(fail));
}

/**
 * Lets the user choose a file.
 * @param {HTMLInputElement} input
 * @param {(file: File) => Promise<void>} action
 */
function onFile(input, action) {
  on(input, "change", async () => {
    const file = input.files?.[0];
    input.value = "";
    if (file) await action(file);
  });
}

/** Builds the page. */
async function main() {
  const app = new App();
  for (const control of [split, points, mesh]) control.addEventListener("input", () => app.show());
  on(element("camera", HTMLElement), "click", async () => {
    say("Waiting for the camera…");
    await app.start(await openCamera(), true);
  });
  onFile(element("photo", HTMLInputElement), async (file) =>
    app.start({canvas: await openPhoto(file)}, false));
  onFile(element("video", HTMLInputElement), async (file) =>
    app.start(await openVideo(file), false));
  const sample = async () => {
    const answer = await fetch("page/sample.jpg");
    await app.start({canvas: await openPhoto(await answer.blob())}, false);
  };
  on(element("sample", HTMLElement), "click", sample);
  on(models, "change", () => app.useModel(models.value));
  element("save", HTMLElement).addEventListener("click", () => {
    app.show();
    view.toBlob((blob) => {
      if (!blob) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = "make-up.png";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  });
  const known = await (await fetch("models/models.json")).json();
  models.append(...known.map((/** @type {{name: string, schema: string}} */ {name, schema}) =>
    new Option(`${name}: ${schema}`, name)));
  await app.useModel(models.value);
  await sample();
}

main().catch(fail);
