// What models and the page take in Chromium; benchmarks/web.py runs it and says where the page is.
// benchmarks/platforms.py wants the models alone, without `pictures`.
import {readFileSync, writeFileSync} from "node:fs";
import {brotliCompressSync, gzipSync} from "node:zlib";
import {launch} from "./test/chromium.js";

const {site, models, weighed, pictures, screenshots} = JSON.parse(readFileSync(0, "utf-8"));
// Runs of a model before it is the turn of the next, as in the native benchmarks.
const RUNS = 400, WARMUP = 100, ROUND = 20, FRAMES = 600;
const BUILDS = {
  "relaxed SIMD, 1 thread": {}, "relaxed SIMD, 2 threads": {threads: 2},
  "plain SIMD, 1 thread": {plainSimd: true},
};
const browser = await launch();

/** A page without the make-up page's own script, so that LiteRT is loaded as it is asked for. */
async function empty() {
  const page = await browser.newPage();
  await page.route("**/page/app.js", (route) =>
    route.fulfill({contentType: "text/javascript", body: ""}));
  await page.goto(site);
  return page;
}

/**
 * The median milliseconds of each model; they take turns.
 * @param {object} load
 */
async function measure(load) {
  const page = await empty();
  const found = await page.evaluate(async ({models, load, runs, warmup, round}) => {
    const {loadRuntime, Model} = await import(`${location.href}efld/runtime.js`);
    const {Tensor} = await import("@litertjs/core");
    await loadRuntime(load);
    /** @type {{name: string, model: import("./efld/runtime.js").Model,
     *   input: import("@litertjs/core").Tensor, times: number[]}[]} */
    const opened = [];
    for (const [name, file] of Object.entries(models)) {
      /** @type {import("./efld/runtime.js").Model} */
      const model = await Model.load(new URL(`${file}`, location.href));
      const count = model.shape.reduce((a, b) => a * b, 1);
      const bytes = model.compiled.getInputDetails()[0].dtype === "uint8";
      const values = bytes ? new Uint8Array(count) : new Float32Array(count);
      values.forEach((_, index) => {
        const value = (index * 2654435761) % 256;
        values[index] = bytes ? value : value / 255;
      });
      opened.push({name, model, input: new Tensor(values, model.shape), times: []});
    }
    for (let first = 0; first < runs + warmup; first += round) {
      for (const {model, input, times} of opened) {
        for (let run = first; run < first + round; run++) {
          const started = performance.now();
          const outputs = await model.compiled.run([input]);
          const took = performance.now() - started;
          outputs.forEach((output) => output.delete());
          if (run >= warmup) times.push(took);
        }
      }
    }
    return Object.fromEntries(opened.map(({name, times}) =>
      [name, times.sort((a, b) => a - b)[times.length >> 1]]));
  }, {models, load, runs: RUNS, warmup: WARMUP, round: ROUND});
  await page.close();
  return found;
}

/** The mean milliseconds of a tracked frame, by the size of the frames. */
async function track() {
  const page = await empty();
  const found = await page.evaluate(async ({pictures, frames}) => {
    const {FaceLandmarker} = await import(`${location.href}efld/index.js`);
    const landmarker = await FaceLandmarker.load("models/research");
    /** @type {Record<string, {milliseconds: number, detections: number}>} */
    const rows = {};
    for (const [size, file] of Object.entries(pictures)) {
      const frame = await createImageBitmap(await (await fetch(file)).blob());
      const tracker = landmarker.track();
      await tracker.update(frame, 0);
      const started = performance.now();
      for (let index = 1; index <= frames; index++) await tracker.update(frame, index / 30);
      rows[size] = {milliseconds: (performance.now() - started) / frames,
        detections: tracker.detections};
    }
    return rows;
  }, {pictures, frames: FRAMES});
  await page.close();
  return found;
}

/** The seconds from an empty cache to the first face that is shown. */
async function start() {
  const times = [];
  for (let run = 0; run < 5; run++) {
    const context = await browser.newContext(), page = await context.newPage();
    await page.goto(site, {waitUntil: "commit"});
    await page.waitForFunction(() => document.querySelector("#numbers")?.textContent, null,
      {polling: 5});
    times.push(await page.evaluate(() => performance.now() / 1000));
    await context.close();
  }
  return times.sort((a, b) => a - b)[2];
}

/** The bytes of each group of files, as they are and compressed. */
function weigh() {
  return Object.fromEntries(Object.entries(weighed).map(([name, files]) => {
    const contents = /** @type {string[]} */ (files).map((file) => readFileSync(file));
    const sum = (/** @type {(content: Buffer) => Buffer} */ of) =>
      contents.reduce((total, content) => total + of(content).length, 0);
    return [name, {bytes: sum((content) => content), gzip: sum((content) =>
      gzipSync(content, {level: 9})), brotli: sum((content) => brotliCompressSync(content))}];
  }));
}

/** The page's picture of a photo with some make-up, as a JPEG. */
async function draw() {
  const page = await browser.newPage({viewport: {width: 1180, height: 900}});
  await page.goto(site);
  await page.waitForFunction(() => document.querySelector("#numbers")?.textContent);
  for (const {file, photo, controls, whole} of screenshots) {
    await page.evaluate(() => document.querySelector("#numbers")?.replaceChildren());
    await page.setInputFiles("#photo", photo);
    await page.waitForFunction(() => document.querySelector("#numbers")?.textContent);
    for (const [id, value] of Object.entries(controls)) {
      if (id === "look") await page.check(`input[value=${value}]`);
      else if (typeof value === "boolean") await page.setChecked(`#${id}`, value);
      else if (id.endsWith("-finish")) await page.selectOption(`#${id}`, value);
      else await page.fill(`#${id}`, value);
    }
    await page.waitForTimeout(300);
    const target = whole ? page : page.locator(".picture");
    writeFileSync(file, await target.screenshot({type: "png"}));
  }
  await page.close();
}

/** @type {Record<string, Record<string, number>>} */
const latency = {};
for (const [name, load] of Object.entries(BUILDS)) latency[name] = await measure(load);
const ofPage = async () => {
  const found = {tracking: await track(), start_seconds: await start(), weight: weigh()};
  await draw();
  return found;
};
const result = {chromium: browser.version(), latency, ...(pictures && await ofPage())};
await browser.close();
console.log(JSON.stringify(result));
