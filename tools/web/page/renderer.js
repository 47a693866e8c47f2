// Draws frames with make-up by WebGL2.
import {meshesOf} from "./masks.js";
import {between, length, minus, plus, times} from "./parts.js";
import {PRODUCTS} from "./products.js";
import * as shaders from "./shaders.js";

/**
 * @typedef {import("./parts.js").Parts} Parts
 * @typedef {import("./parts.js").Point} Point
 * @typedef {import("./products.js").Look} Look
 */

/** What foundation smooths: this share of the way between the eyes. */
const SMOOTHED = 0.075;

/** Draws frames on a canvas, and make-up on their faces. */
export class Renderer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} restored Is called when the browser has taken the pictures and can draw again.
   * @throws {Error} The browser has no WebGL2.
   */
  constructor(canvas, restored) {
    const gl = canvas.getContext("webgl2", {alpha: false, antialias: false});
    if (!gl) throw new Error("this browser has no WebGL2, by which make-up is drawn");
    this.canvas = canvas;
    this.gl = gl;
    this.width = this.height = 0;
    this.made = made(gl);
    // After a loss everything is made anew.
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.made = made(gl);
      this.width = this.height = 0;
      restored();
    });
  }

  /**
   * Takes the next frame.
   * @param {TexImageSource} source
   * @param {number} width
   * @param {number} height
   */
  upload(source, width, height) {
    const {gl} = this;
    if (width !== this.width || height !== this.height) this.resize(width, height);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.made.frame);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, source);
    gl.generateMipmap(gl.TEXTURE_2D);
  }

  /**
   * Gives all textures the size of the frames.
   * @param {number} width
   * @param {number} height
   */
  resize(width, height) {
    const {gl} = this;
    this.canvas.width = this.width = width;
    this.canvas.height = this.height = height;
    [this.made.frame, ...this.made.masks].forEach((texture, index) => {
      gl.activeTexture(gl.TEXTURE0 + index);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      const filter = index ? gl.LINEAR : gl.LINEAR_MIPMAP_LINEAR;
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
      if (!index) return;
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.made.targets[index - 1]);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    });
  }

  /**
   * Draws the frame, with make-up on its faces.
   * @param {readonly Parts[]} faces In pixels of the frame.
   * @param {Look} look
   * @param {number[]} span From where to where the frame has it, in shares of its width.
   */
  draw(faces, look, span) {
    const {gl} = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, this.width, this.height);
    this.quad(this.made.copy);
    if (PRODUCTS.every(({name}) => !look[name].strength)) return;
    for (const parts of faces) {
      const meshes = meshesOf(parts), [left, top, right, bottom] = this.extent(meshes);
      if (right <= left || bottom <= top) continue;
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(left, top, right - left, bottom - top);
      this.drawMasks(meshes);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      gl.scissor(left, this.height - bottom, right - left, bottom - top);
      this.setFace(parts, look, span);
      this.quad(this.made.makeup);
      gl.disable(gl.SCISSOR_TEST);
    }
  }

  /**
   * Fills the viewport by a program.
   * @param {WebGLProgram} chosen
   */
  quad(chosen) {
    const {gl} = this;
    gl.useProgram(chosen);
    gl.uniform1f(gl.getUniformLocation(chosen, "flip"), -1);
    gl.bindVertexArray(this.made.strip);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** @param {readonly import("./masks.js").Mesh[]} meshes */
  extent(meshes) {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const {vertices} of meshes) {
      for (let index = 0; index < vertices.length; index += 3) {
        left = Math.min(left, vertices[index]);
        right = Math.max(right, vertices[index]);
        top = Math.min(top, vertices[index + 1]);
        bottom = Math.max(bottom, vertices[index + 1]);
      }
    }
    return [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)),
      Math.min(this.width, Math.ceil(right)), Math.min(this.height, Math.ceil(bottom))];
  }

  /** @param {readonly import("./masks.js").Mesh[]} meshes */
  drawMasks(meshes) {
    const {gl} = this;
    gl.useProgram(this.made.mask);
    gl.uniform2f(gl.getUniformLocation(this.made.mask, "size"), this.width, this.height);
    gl.bindVertexArray(this.made.corners);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.made.vertices);
    gl.enable(gl.BLEND);
    gl.blendEquation(gl.MAX);
    this.made.targets.forEach((target, index) => {
      gl.bindFramebuffer(gl.FRAMEBUFFER, target);
      gl.colorMask(true, true, true, true);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      for (const {channel, vertices} of meshes) {
        if (channel >> 2 !== index) continue;
        const [red, green, blue, alpha] = [0, 1, 2, 3].map((place) => place === (channel & 3));
        gl.colorMask(red, green, blue, alpha);
        gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(vertices), gl.STREAM_DRAW);
        gl.drawArrays(gl.TRIANGLES, 0, vertices.length / 3);
      }
    });
    gl.colorMask(true, true, true, true);
    gl.disable(gl.BLEND);
  }

  /**
   * @param {Parts} parts
   * @param {Look} look
   * @param {number[]} span
   */
  setFace({frame, cheeks, lips}, look, [from, to]) {
    const {gl, made: {makeup}} = this, wide = length(frame.across);
    const at = (/** @type {string} */ name) => gl.getUniformLocation(makeup, name);
    gl.useProgram(makeup);
    ["frame", "masks", "moreMasks"].forEach((name, unit) => gl.uniform1i(at(name), unit));
    gl.uniform2f(at("size"), this.width, this.height);
    gl.uniform2f(at("span"), from * this.width, to * this.width);
    gl.uniform1f(at("radius"), SMOOTHED * wide);
    gl.uniform1f(at("skinLod"), Math.max(0, Math.log2(0.16 * wide)));
    const brow = plus(frame.origin, times(frame.down, 0.12));
    gl.uniform2fv(at("skinProbes"), this.shares([...cheeks.map(({centre}) => centre), brow]));
    const halves = lips ? [middle(lips.outer.upper, lips.inner.upper),
      middle(lips.outer.lower, lips.inner.lower)] : [brow, brow];
    const thick = lips ? length(minus(lips.outer.lower[14], lips.inner.lower[14])) : 1;
    gl.uniform2fv(at("lipProbes"), this.shares(halves));
    gl.uniform1f(at("lipsLod"), Math.max(0, Math.log2(0.8 * thick)));
    gl.uniform3fv(at("colours"), PRODUCTS.flatMap(({name}) => colour(look[name].colour)));
    gl.uniform1fv(at("strengths"), PRODUCTS.map(({name}) => look[name].strength));
    gl.uniform1f(at("gloss"), look.lips.finish === "gloss" ? 1 : 0);
  }

  /**
   * Places as shares of the frame.
   * @param {readonly Point[]} points
   */
  shares(points) {
    return points.flatMap(({x, y}) => [x / this.width, y / this.height]);
  }
}

/**
 * Programs, textures and buffers.
 * @param {WebGL2RenderingContext} gl
 */
function made(gl) {
  const masks = [gl.createTexture(), gl.createTexture()];
  const mask = program(gl, shaders.MASK_VERTEX, shaders.MASK_FRAGMENT);
  const corners = gl.createVertexArray(), vertices = gl.createBuffer();
  gl.bindVertexArray(corners);
  gl.bindBuffer(gl.ARRAY_BUFFER, vertices);
  const corner = gl.getAttribLocation(mask, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 3, gl.FLOAT, false, 0, 0);
  return {
    mask, masks, corners, vertices,
    copy: program(gl, shaders.FRAME_VERTEX, shaders.COPY_FRAGMENT),
    makeup: program(gl, shaders.FRAME_VERTEX, shaders.MAKEUP_FRAGMENT),
    frame: gl.createTexture(),
    targets: masks.map(() => gl.createFramebuffer()),
    strip: gl.createVertexArray(),
  };
}

/**
 * The middle of a lip.
 * @param {readonly Point[]} outer
 * @param {readonly Point[]} inner
 */
function middle(outer, inner) {
  const index = outer.length >> 1;
  return between(outer[index], inner[index], 0.5);
}

/**
 * Red, green and blue from 0 to 1.
 * @param {string} hex `#rrggbb`.
 */
function colour(hex) {
  return [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16) / 255);
}

/**
 * @param {WebGL2RenderingContext} gl
 * @param {string} vertex
 * @param {string} fragment
 */
function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment]])) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(made)?.map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`WebGL2 refuses a program: ${logs?.join("; ")}`);
  }
  return made;
}
