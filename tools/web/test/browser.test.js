// The module and the page in Chromium. tests/tools/test_web.py writes what they look at, serves the
// folder of `efld-export --web`, and says where by EFLD_SITE (an address) and EFLD_CASES (a folder).
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before, test} from "node:test";
import {launch} from "./chromium.js";
import {BUILDS, differences} from "./golden.js";

const site = process.env.EFLD_SITE, folder = process.env.EFLD_CASES;
const options = {skip: site && folder ? false : "EFLD_SITE and EFLD_CASES are not set"};
const MEMORY = ["--enable-precise-memory-info", "--js-flags=--expose-gc"];
const CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];

/** @param {string} name */
function read(name) {
  return readFileSync(`${folder}/${name}`);
}

/**
 * A browser with a page; what the page says in its console is kept.
 * @param {string[]} [more] Arguments of the browser.
 */
async function open(more = []) {
  const browser = await launch([...MEMORY, ...more]);
  const page = await browser.newPage({viewport: {width: 1180, height: 1000}});
  /** @type {string[]} */
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    if (!/^(blob:|data:)/.test(request.url()) && !request.url().startsWith(`${site}`)) {
      faults.push(`asked for ${request.url()}`);
    }
  });
  await page.goto(`${site}`);
  await page.waitForFunction(() => document.querySelector("#numbers")?.textContent, null);
  return {browser, page, faults};
}

/** @type {Awaited<ReturnType<typeof open>>} */
let shared;
before(async () => { if (!options.skip) shared = await open(); });
after(async () => shared?.browser.close());

/**
 * Waits until the page says something that matches.
 * @param {import("playwright-core").Page} page
 * @param {"status" | "fault"} id
 * @param {RegExp} pattern
 */
async function said(page, id, pattern) {
  await page.waitForFunction(
    ({id, text}) => new RegExp(text).test(document.getElementById(id)?.textContent ?? ""),
    {id, text: pattern.source});
}

for (const [build, load] of Object.entries(BUILDS)) {
  test(`golden output by ${build}`, options, async () => {
    const found = await differences(shared.browser, `${site}`, load);
    assert.equal(Object.keys(found).length, 2);
    for (const [name, {points, confidence}] of Object.entries(found)) {
      assert(points < 1e-5 && confidence < 1e-5, `${name}: ${points}, ${confidence}`);
    }
  });
}

test("photos have the points of efld-predict", options, async () => {
  const photos = JSON.parse(read("photos.json").toString());
  for (const {file, faces} of photos) {
    const found = await shared.page.evaluate(async ({site, bytes}) => {
      const {FaceLandmarker} = await import(`${site}efld/index.js`);
      const kept = /** @type {any} */ (window);
      kept.landmarker ??= await FaceLandmarker.load("models/research");
      const photo = new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))]);
      return kept.landmarker.find(photo);
    }, {site, bytes: read(file).toString("base64")});
    assert.equal(found.length, faces.length, file);
    faces.forEach((/** @type {any} */ face, /** @type {number} */ index) => {
      const apart = face.points.map((/** @type {number[]} */ [x, y], /** @type {number} */ place) =>
        Math.hypot(x - found[index].points[place].x, y - found[index].points[place].y));
      assert(Math.max(...apart) < 0.5, `${file}: ${Math.max(...apart)} pixels`);
      assert(Math.abs(face.confidence - found[index].confidence) < 0.01, file);
    });
  }
  assert(photos.length >= 12);
});

test("what a picture has not is not that of the last one", options, async () => {
  const found = await shared.page.evaluate(async ({site, bytes}) => {
    const {FaceLandmarker} = await import(`${site}efld/index.js`);
    const landmarker = await FaceLandmarker.load("models/research");
    const photo = new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))]);
    const counts = [(await landmarker.find(photo)).length];
    counts.push((await landmarker.find(new OffscreenCanvas(480, 480))).length);
    /** @type {string[]} */
    const faults = [];
    for (const other of ["photo.jpg", null, document.createElement("video")]) {
      await landmarker.find(other).catch((/** @type {Error} */ error) => faults.push(error.name));
    }
    const sure = landmarker.track({min_confidence: 0.99999});
    counts.push((await sure.update(photo, 0)).length);
    try {
      landmarker.track({confidence: 1});
    } catch (error) {
      faults.push(/** @type {Error} */ (error).name);
    }
    landmarker.delete();
    await landmarker.find(photo).catch((/** @type {Error} */ error) => faults.push(error.name));
    return {counts, faults};
  }, {site, bytes: read("open.png").toString("base64")});
  assert.deepEqual(found, {counts: [1, 0, 0], faults: Array(5).fill("LandmarkError")});
});

test("a video is followed frame by frame", options, async (context) => {
  const {browser, page} = await open(
    [...CAMERA, `--use-file-for-fake-video-capture=${folder}/camera.mjpeg`]);
  context.after(() => browser.close());
  const counts = await page.evaluate(async (site) => {
    const {FaceLandmarker} = await import(`${site}efld/index.js`);
    const landmarker = await FaceLandmarker.load("models/research");
    const video = document.createElement("video");
    video.srcObject = await navigator.mediaDevices.getUserMedia({video: true});
    // Not played yet: the first frame is waited for.
    return new Promise((done, fail) => {
      /** @type {number[]} */
      const seen = [];
      const stop = landmarker.follow(video, (
        /** @type {{points: unknown}[]} */ faces, /** @type {OffscreenCanvas} */ frame) => {
        seen.push(faces.length, frame.width === video.videoWidth ? 1 : 0);
        if (seen.length === 20) {
          stop();
          setTimeout(() => done(seen), 200);
        }
      }, fail);
      video.play();
    });
  }, `${site}`);
  assert.deepEqual(counts, Array(20).fill(1));
});

test("the page has no fault, and asks for nothing elsewhere", options, async () => {
  assert.equal(await shared.page.textContent("#numbers").then((text) => text?.slice(0, 6)), "1 face");
  assert.deepEqual(shared.faults, []);
});

test("make-up changes lips, and neither teeth nor what is behind", options, async () => {
  const {page} = shared, places = JSON.parse(read("open.json").toString());
  await page.evaluate(() => { /** @type {any} */ (document.querySelector("#numbers")).textContent = ""; });
  await page.setInputFiles("#photo", `${folder}/open.png`);
  await page.waitForFunction(() => document.querySelector("#numbers")?.textContent, null);
  for (const look of ["None", "Bold"]) {
    await page.check(`input[value=${look}]`);
    await keep(page, look);
  }
  for (const points of Object.values(places)) assert(points.length > 40);
  const changed = await page.evaluate(change, {first: "None", second: "Bold", places});
  assert(changed.lips > 60 && changed.teeth < 4 && changed.behind < 0.5, JSON.stringify(changed));
});

test("the photo that was chosen last is shown, also after the GPU was lost", options, async () => {
  const {page} = shared, bytes = read("open.png");
  await page.evaluate(() => {
    const own = createImageBitmap;
    globalThis.createImageBitmap = /** @type {any} */ (
      async (/** @type {File} */ file, /** @type {any} */ how) => {
        if (file.name === "slow.png") await new Promise((done) => setTimeout(done, 700));
        return own(file, how);
      });
  });
  const file = (/** @type {string} */ name, /** @type {Buffer} */ buffer) =>
    page.setInputFiles("#photo", {name, mimeType: "image/png", buffer});
  await file("slow.png", read("photo_0.png"));
  await file("quick.png", bytes);
  await page.waitForTimeout(1500);
  assert.equal(await page.evaluate(() => document.querySelector("canvas")?.width), 480);
  await page.check("input[value=None]");
  await keep(page, "before");
  await page.evaluate(async () => {
    const view = /** @type {HTMLCanvasElement} */ (document.querySelector("#view"));
    const loss = view.getContext("webgl2")?.getExtension("WEBGL_lose_context");
    loss?.loseContext();
    await new Promise((done) => setTimeout(done, 200));
    loss?.restoreContext();
    await new Promise((done) => setTimeout(done, 1500));
  });
  await keep(page, "after");
  const everywhere = {first: "before", second: "after", places: {all: null}};
  assert.deepEqual(await page.evaluate(change, everywhere), {all: 0});
});

test("the slider shows the picture as it was", options, async () => {
  const {page} = shared;
  await page.check("input[value=Bold]");
  await page.fill("#split", "100");
  await keep(page, "before");
  await page.check("input[value=None]");
  await keep(page, "none");
  const everywhere = {first: "before", second: "none", places: {all: null}};
  assert.deepEqual(await page.evaluate(change, everywhere), {all: 0});
  await page.fill("#split", "0");
});

test("points and mesh, and the other model", options, async () => {
  const {page} = shared;
  const drawn = () => page.evaluate(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector("#overlay"));
    const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
    return data?.filter((value, index) => index % 4 === 3 && value).length ?? 0;
  });
  const none = await drawn();
  await page.check("#points");
  const points = await drawn();
  await page.check("#mesh");
  const both = await drawn();
  assert(none === 0 && points > 100 && both > 2 * points, `${none} ${points} ${both}`);
  await page.selectOption("#model", "synthetic");
  await page.waitForFunction(() =>
    document.querySelector("#license")?.textContent?.includes("Apache-2.0"), null);
});

test("the model that was chosen last is taken", options, async () => {
  const {page} = shared;
  await page.selectOption("#model", "research");
  await page.waitForFunction(() =>
    document.querySelector("#license")?.textContent?.includes("non-commercial"), null);
  await page.route("**/models/synthetic/*.tflite", async (route) => {
    await new Promise((done) => setTimeout(done, 800));
    await route.continue();
  });
  await page.selectOption("#model", "synthetic");
  await page.selectOption("#model", "research");
  await page.waitForTimeout(1500);
  assert.match(await page.textContent("#license") ?? "", /non-commercial/);
});

test("a model of a part of the face has points and no make-up", options, async () => {
  const page = await shared.browser.newPage();
  await page.route("**/models/research/landmarker.json", async (route) => {
    const description = await (await route.fetch()).json();
    description.schema.is_part = true;
    await route.fulfill({json: description});
  });
  await page.goto(`${site}`);
  await page.waitForFunction(() => document.querySelector("#numbers")?.textContent, null);
  assert.equal(await page.textContent("#fault"), "");
  assert(await page.isDisabled("#lips-strength"));
  await page.close();
});

test("keys and a screen reader reach every control", options, async () => {
  const {page} = shared;
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select")]
    .filter((control) => {
      const {labels} = /** @type {HTMLInputElement} */ (control);
      return !(control.getAttribute("aria-label") || labels?.length || control.textContent?.trim());
    }).map((control) => control.id || control.outerHTML));
  assert.deepEqual(nameless, []);
  await page.check("input[value=Bold]");
  await page.focus("#lips-strength");
  const strength = Number(await page.inputValue("#lips-strength"));
  await page.keyboard.press("ArrowLeft");
  assert.equal(Number(await page.inputValue("#lips-strength")), strength - 1);
});

test("a phone's screen has no sideways scrolling", options, async () => {
  const page = await shared.browser.newPage({viewport: {width: 360, height: 740}});
  await page.goto(`${site}`);
  await page.waitForFunction(() => document.querySelector("#numbers")?.textContent, null);
  assert(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
  await page.close();
});

test("the camera's face is followed", options, async (context) => {
  const {browser, page, faults} = await open(
    [...CAMERA, `--use-file-for-fake-video-capture=${folder}/camera.mjpeg`]);
  context.after(() => browser.close());
  const places = JSON.parse(read("camera.json").toString());
  /** @type {{points: {x: number, y: number}[], track: number}[][]} */
  const frames = await page.evaluate(() => new Promise((done) => {
    /** @type {any[]} */
    const seen = [], view = document.querySelector("#view");
    view?.addEventListener("faces", (event) => {
      seen.push(/** @type {CustomEvent} */ (event).detail);
      if (seen.length === 30) done(seen);
    });
    /** @type {HTMLElement} */ (document.querySelector("#camera")).click();
  }));
  const followed = frames.slice(5);
  for (const faces of followed) {
    assert.equal(faces.length, 1);
    // The error of the frame that it is, and the video does not say which.
    const errors = places.map((/** @type {number[][]} */ truth) => {
      const eyes = Math.hypot(truth[28][0] - truth[19][0], truth[28][1] - truth[19][1]);
      return truth.reduce((sum, [x, y], index) => sum + Math.hypot(
        x - faces[0].points[index].x, y - faces[0].points[index].y), 0) / truth.length / eyes;
    });
    assert(Math.min(...errors) < 0.04, `${Math.min(...errors)}`);
  }
  assert.equal(new Set(followed.map((faces) => faces[0].track)).size, 1);
  assert.match(await page.textContent("#numbers") ?? "", /1 face, .* frames\/s/);
  // Over the picture, which is mirrored.
  await page.click("#split");
  assert(Math.abs(Number(await page.inputValue("#split")) - 50) < 5);
  assert.deepEqual(faults, []);
});

test("a lost face and a refused camera are told", options, async (context) => {
  const {browser, page} = await open(
    [...CAMERA, `--use-file-for-fake-video-capture=${folder}/nobody.mjpeg`]);
  context.after(() => browser.close());
  await page.click("#camera");
  await said(page, "status", /No face found/);
  // What fails stays to be read, while the video goes on.
  await page.setInputFiles("#photo", `${folder}/open.json`);
  await said(page, "fault", /no photo/);
  await page.waitForTimeout(500);
  await said(page, "fault", /no photo/);
  await shared.page.click("#camera");
  await said(shared.page, "fault", /no camera/);
  // Nobody answers the question here, which counts as no.
  const asked = await open(["--use-fake-device-for-media-stream"]);
  context.after(() => asked.browser.close());
  await asked.page.click("#camera");
  await said(asked.page, "fault", /refused/);
});

test("memory is flat", options, async () => {
  const {page} = shared;
  const sizes = await page.evaluate(async ({site, bytes}) => {
    const {FaceLandmarker} = await import(`${site}efld/index.js`);
    const landmarker = await FaceLandmarker.load("models/research");
    const photo = new Blob([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))]);
    const frame = await createImageBitmap(photo), tracker = landmarker.track(), sizes = [];
    for (let index = 1; index <= 2000; index++) {
      const faces = await tracker.update(frame, index / 30);
      if (faces.length !== 1) throw new Error(`${faces.length} faces`);
      // What is freed is freed between tasks.
      if (index % 20 === 0) await new Promise((done) => setTimeout(done));
      if (index % 500 === 0) {
        for (let times = 0; times < 4; times++) {
          /** @type {any} */ (globalThis).gc();
          await new Promise((done) => setTimeout(done, 100));
        }
        sizes.push(/** @type {any} */ (performance).memory.usedJSHeapSize / 1e6);
      }
    }
    landmarker.delete();
    return sizes;
  }, {site, bytes: read("open.png").toString("base64")});
  assert(sizes[3] - sizes[0] < 1, `MB: ${sizes}`);
});

/**
 * Keeps the pixels of the page's picture, in the page.
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
function keep(page, name) {
  return page.evaluate(async (name) => {
    const view = /** @type {HTMLCanvasElement} */ (document.querySelector("#view"));
    // A canvas keeps what is drawn until the browser has shown it.
    document.querySelector("#split")?.dispatchEvent(new Event("input"));
    const blob = await new Promise((done) => view.toBlob(done));
    const bitmap = await createImageBitmap(/** @type {Blob} */ (blob));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context?.drawImage(bitmap, 0, 0);
    /** @type {any} */ (globalThis)[`kept${name}`] = context?.getImageData(
      0, 0, canvas.width, canvas.height);
  }, name);
}

/**
 * In the page: the mean distance of the colours of two kept pictures, at each group of places.
 * @param {{first: string, second: string, places: Record<string, number[][] | null>}} asked
 *   Null stands for all places.
 */
function change({first, second, places}) {
  const [one, other] = [first, second].map((name) => /** @type {any} */ (globalThis)[`kept${name}`]);
  const all = Array.from({length: one.width * one.height}, (_, index) =>
    [index % one.width, Math.floor(index / one.width)]);
  return Object.fromEntries(Object.entries(places).map(([name, chosen]) => {
    const points = chosen ?? all;
    const sum = points.reduce((total, [x, y]) => {
      const at = 4 * (y * one.width + x);
      return total + Math.hypot(...[0, 1, 2].map((c) => one.data[at + c] - other.data[at + c]));
    }, 0);
    return [name, sum / points.length];
  }));
}
