// The make-up page: sources, landmarks, make-up, and what is said of them.
import {FaceLandmarker} from "../efld/index.js";
import {Controls} from "./controls.js";
import {Overlay} from "./overlay.js";
import {partsOf} from "./parts.js";
import {wearable} from "./products.js";
import {Renderer} from "./renderer.js";
import {openCamera, openPhoto, openVideo} from "./sources.js";

/** @typedef {import("../efld/face.js").Face} Face */

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
const pauseButton = element("pause", HTMLButtonElement);

/** The page's one state. */
class App {
  constructor() {
    this.renderer = new Renderer(view, () => {
      if (this.source && "canvas" in this.source) this.start(this.source).catch(fail);
    });
    this.overlay = new Overlay(element("overlay", HTMLCanvasElement));
    /** @type {Face[]} */
    this.faces = [];
    /** @type {FaceLandmarker | null} */
    this.landmarker = null;
    /** @type {{canvas: HTMLCanvasElement} | {video: HTMLVideoElement, close: () => void} | null} */
    this.source = null;
    /** Counts what was asked for, sources and models: what belongs to an older one ends. */
    this.turn = this.asked = this.models = 0;
    this.model = "";
    this.controls = new Controls(element("looks", HTMLElement), element("products", HTMLElement),
      () => this.show());
  }

  /**
   * Loads a model and takes it for the source that is shown.
   * @param {string} name
   */
  async useModel(name) {
    const asked = ++this.models;
    say(`Loading the model ${name}…`);
    let landmarker;
    try {
      landmarker = await FaceLandmarker.load(`models/${encodeURIComponent(name)}`);
    } catch (error) {
      if (asked === this.models) models.value = this.model; // the one that goes on
      throw error;
    }
    if (asked !== this.models) { // another one was chosen meanwhile
      landmarker.delete();
      return;
    }
    this.landmarker?.delete();
    this.landmarker = landmarker;
    this.model = name;
    this.faces = [];
    this.overlay.reset();
    element("license", HTMLElement).textContent =
      `${landmarker.schema.title}. Licence of the weights: ${landmarker.license}`;
    say("");
    if (this.source) await this.start(this.source);
  }

  /**
   * Opens another picture or video and shows it, unless yet another one was asked for meanwhile.
   * @param {() => Promise<NonNullable<App["source"]>>} open
   * @param {boolean} mirrored Whether it is shown as in a mirror.
   */
  async ask(open, mirrored = false) {
    const turn = ++this.asked, source = await open();
    if (turn !== this.asked) {
      if ("close" in source) source.close();
      return;
    }
    this.close();
    picture.classList.toggle("mirrored", mirrored);
    await this.start(source);
  }

  /**
   * Shows a picture or a video, now or as soon as there is a model.
   * @param {NonNullable<App["source"]>} source
   */
  async start(source) {
    this.source = source;
    pauseButton.hidden = !("video" in source);
    pauseButton.textContent = "Pause";
    const turn = ++this.turn;
    if (!this.landmarker) return;
    if ("canvas" in source) await this.showPhoto(this.landmarker, source.canvas, turn);
    else this.follow(this.landmarker, source.video, turn);
  }

  /** Stops a video, or lets it go on. */
  pause() {
    if (!this.source || !("video" in this.source)) return;
    const {video} = this.source;
    if (video.paused) video.play();
    else video.pause();
    pauseButton.textContent = video.paused ? "Go on" : "Pause";
  }

  /** Ends the source. */
  close() {
    if (this.source && "close" in this.source) this.source.close();
    this.source = null;
    this.faces = [];
    element("numbers", HTMLElement).textContent = "";
  }

  /**
   * Shows a photo.
   * @param {FaceLandmarker} landmarker
   * @param {HTMLCanvasElement} canvas
   * @param {number} turn
   */
  async showPhoto(landmarker, canvas, turn) {
    const started = performance.now();
    const faces = await landmarker.find(canvas);
    const milliseconds = performance.now() - started;
    if (turn !== this.turn) return;
    this.renderer.upload(canvas, canvas.width, canvas.height);
    this.take(faces);
    say(faces.length ? "" : "No face found. Choose a photo in which one fills a sixth or more.");
    tell(faces, `${milliseconds.toFixed(0)} ms`);
  }

  /**
   * Follows the faces of a video until another source comes.
   * @param {FaceLandmarker} landmarker
   * @param {HTMLVideoElement} video
   * @param {number} turn
   */
  follow(landmarker, video, turn) {
    const tracker = landmarker.track();
    const hint = video.srcObject ? "Look into the camera, nearer and in more light."
      : "Faces have to fill a sixth of the picture or more.";
    /** @type {number[]} The times of the last second's frames, and what the landmarks took. */
    let times = [], took = 0, seen = performance.now();
    const step = async () => {
      const started = performance.now();
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        // Both take the same frame, before anything is waited for.
        this.renderer.upload(video, video.videoWidth, video.videoHeight);
        const faces = await tracker.update(video, started / 1000);
        if (turn !== this.turn) return;
        took += 0.1 * (performance.now() - started - took);
        this.take(faces);
        if (faces.length) seen = started;
        const lost = started - seen > 1000 * LOST_SECONDS;
        say(lost ? `No face found. ${hint}` : "");
        times = [...times.filter((time) => time > started - 1000), started];
        tell(faces, `${took.toFixed(1)} ms a frame, ${times.length} frames/s`);
      }
    };
    const guarded = async () => {
      if (turn !== this.turn) return;
      await step().catch(fail);
      if (turn === this.turn) next();
    };
    const next = () => "requestVideoFrameCallback" in video
      ? video.requestVideoFrameCallback(guarded) : requestAnimationFrame(guarded);
    // A video that is paused gives no next frame.
    if (video.paused) guarded();
    else next();
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
    const parts = this.faces.map((face) => partsOf(face.points, landmarker.schema))
      .filter((one) => one !== null);
    if (this.faces.length) this.controls.allow(wearable(parts[0]));
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

/**
 * Shows what failed until the next thing is tried.
 * @param {unknown} error
 */
function fail(error) {
  say("");
  element("fault", HTMLElement).textContent =
    error instanceof Error ? error.message : String(error);
}

/**
 * Runs what a control starts, and says what fails.
 * @param {HTMLElement} control
 * @param {string} event
 * @param {() => Promise<void>} action
 */
function on(control, event, action) {
  control.addEventListener(event, () => {
    element("fault", HTMLElement).textContent = "";
    action().catch(fail);
  });
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

/** The models that the page offers. */
async function known() {
  const answer = await fetch("models/models.json");
  if (!answer.ok) throw new Error(`models/models.json: ${answer.status} ${answer.statusText}`);
  /** @type {{name: string, schema: string}[]} */
  const rows = await answer.json();
  return rows.map(({name, schema}) => new Option(`${name}: ${schema}`, name));
}

/** Builds the page. */
async function main() {
  const app = new App();
  for (const control of [split, points, mesh]) control.addEventListener("input", () => app.show());
  on(element("camera", HTMLElement), "click", async () => {
    say("Waiting for the camera…");
    await app.ask(() => openCamera(() => fail("The camera has ended. Press Camera to try again.")),
      true);
  });
  onFile(element("photo", HTMLInputElement), (file) =>
    app.ask(async () => ({canvas: await openPhoto(file)})));
  onFile(element("video", HTMLInputElement), (file) => app.ask(() => openVideo(file)));
  const sample = () => app.ask(async () =>
    ({canvas: await openPhoto(await (await fetch("page/sample.jpg")).blob())}));
  on(element("sample", HTMLElement), "click", sample);
  pauseButton.addEventListener("click", () => app.pause());
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
  models.append(...await known());
  await app.useModel(models.value);
  if (!app.source && !app.asked) await sample();
}

main().catch((error) => {
  fail(error);
  // Without models or WebGL2 nothing works.
  if (!models.length) for (const part of document.querySelectorAll(".controls, .sources")) {
    part.toggleAttribute("inert", true);
  }
});
