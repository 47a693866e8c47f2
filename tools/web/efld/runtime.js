// LiteRT.js: TensorFlow Lite models by WebAssembly.
import {loadAndCompile, loadLiteRt, Tensor} from "@litertjs/core";
import {fetchBytes} from "./bundle.js";
import {LandmarkError} from "./errors.js";

/**
 * @typedef {object} RuntimeOptions
 * @property {string | URL} [wasm] The folder of LiteRT's WebAssembly, by default `../litert/wasm/`
 *   seen from this module.
 * @property {number} [threads] More than one need a page that is cross-origin isolated; elsewhere
 *   there is one.
 * @property {boolean} [plainSimd] Whether to do without relaxed SIMD, as browsers without it do.
 */

/** @type {Promise<unknown> | null} */
let loading = null;
let loadedThreads = 1;

/**
 * Loads LiteRT once for the page; later options are ignored.
 * @param {RuntimeOptions} options
 */
export async function loadRuntime({wasm, threads = 1, plainSimd = false} = {}) {
  if (!loading) {
    const folder = new URL(wasm ?? "../litert/wasm/", import.meta.url).href;
    loadedThreads = globalThis.crossOriginIsolated ? threads : 1;
    // LiteRT's loader reads its options from there, and leaves nothing.
    const page = /** @type {any} */ (globalThis), own = page.Module;
    page.Module = {printErr: tell};
    loading = plainSimd ? loadLiteRt(`${folder}litert_wasm_compat_internal.js`)
      : loadLiteRt(folder, {threads: loadedThreads > 1});
    loading.catch(() => { loading = null; }).finally(() => { page.Module = own; });
  }
  try {
    await loading;
  } catch (error) {
    const reason = error instanceof Error ? error.message : "its script is not there";
    throw new LandmarkError(`LiteRT cannot be loaded: ${reason}. It needs a browser with ` +
      "WebAssembly SIMD (Chrome 91, Firefox 108, Safari 16.4 or newer)");
  }
}

/**
 * LiteRT says everything on its stream of errors, also that there is no GPU or NPU.
 * @param {string} line
 */
function tell(line) {
  if (!/^(VERBOSE|INFO|WARNING)/.test(line)) console.error(line);
}

/** A model with one input. */
export class Model {
  /** @param {import("@litertjs/core").CompiledModel} compiled */
  constructor(compiled) {
    this.compiled = compiled;
    this.deleted = false;
    const [input] = compiled.getInputDetails();
    this.shape = [...input.shape];
  }

  /**
   * Loads a model; the runtime has to be loaded.
   * @param {URL} url
   * @throws {LandmarkError} It cannot be fetched, or LiteRT refuses it.
   */
  static async load(url) {
    const bytes = await fetchBytes(url);
    try {
      return new Model(await loadAndCompile(bytes, {
        accelerator: "wasm", cpuOptions: {numThreads: loadedThreads},
      }));
    } catch (error) {
      throw new LandmarkError(
        `${url}: LiteRT refuses it: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** The shapes of the outputs. */
  get outputs() {
    return this.compiled.getOutputDetails().map((output) => [...output.shape]);
  }

  /**
   * Runs the model.
   * @param {Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>} values
   * @returns {Promise<Float32Array[]>} The outputs, in the model's order.
   */
  async run(values) {
    if (this.deleted) throw new LandmarkError("the model was deleted; load it again");
    const input = new Tensor(values, this.shape);
    try {
      const outputs = await this.compiled.run([input]);
      return outputs.map((output) => {
        const copy = /** @type {Float32Array} */ (output.toTypedArray().slice());
        output.delete();
        return copy;
      });
    } finally {
      input.delete();
    }
  }

  /** Frees its memory. */
  delete() {
    if (this.deleted) return;
    this.deleted = true;
    // With threads, LiteRT was seen to wait for them for ever: their memory stays until the page goes.
    if (loadedThreads === 1) this.compiled.delete();
  }
}
