// How far a browser's results are from the golden files of a folder of `efld-export --web`.
//
//     node test/golden.js ADDRESS
//
// prints, for each build of LiteRT and each model, the largest differences of a coordinate, in crop
// sides, and of the confidence, and what the model's golden.json allows.
import {fileURLToPath} from "node:url";
import {launch} from "./chromium.js";

/** The options by which each build is loaded. @type {Record<string, object>} */
export const BUILDS = Object.freeze({
  "relaxed SIMD": {}, "plain SIMD": {plainSimd: true}, "two threads": {threads: 2},
});

/**
 * The differences of all models, by their names.
 * @param {import("playwright-core").Browser} browser
 * @param {string} site The page's address.
 * @param {object} load
 * @returns {Promise<Record<string, {points: number, confidence: number, tolerance: number}>>}
 */
export async function differences(browser, site, load) {
  const page = await browser.newPage();
  // LiteRT is loaded once a page, and the page's own script would be the first.
  await page.route("**/page/app.js", (route) =>
    route.fulfill({contentType: "text/javascript", body: ""}));
  await page.goto(site);
  const found = await page.evaluate(async ({load, site}) => {
    const {FaceLandmarker} = await import(`${site}efld/index.js`);
    /** @type {{name: string}[]} */
    const models = await (await fetch(`${site}models/models.json`)).json();
    /** @type {Record<string, {points: number, confidence: number, tolerance: number}>} */
    const rows = {};
    for (const {name} of models) {
      const file = async (/** @type {string} */ path) => fetch(`${site}models/${name}/${path}`);
      const landmarker = await FaceLandmarker.load(`${site}models/${name}`, load);
      const golden = await (await file("golden.json")).json();
      const input = new Uint8Array(await (await file("golden_input.bin")).arrayBuffer());
      const output = new Float32Array(await (await file("golden_output.bin")).arrayBuffer());
      const outputs = await landmarker.model.run(input);
      const points = outputs[landmarker.pointsOutput];
      const sure = outputs[landmarker.confidenceOutput]?.[0];
      rows[name] = {
        points: Math.max(...output.map((value, index) => Math.abs(value - points[index]))),
        confidence: sure === undefined ? 0 : Math.abs(sure - golden.confidence.value),
        tolerance: golden.tolerance,
      };
      landmarker.delete();
    }
    return rows;
  }, {load, site});
  await page.close();
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const browser = await launch();
  /** @type {Record<string, object>} */
  const rows = {};
  for (const [name, load] of Object.entries(BUILDS)) {
    rows[name] = await differences(browser, process.argv[2], load);
  }
  await browser.close();
  console.log(JSON.stringify(rows));
}
