// The programs of the renderer. Colours are blended in OKLab (B. Ottosson, "A perceptual color
// space for image processing", 2020), in which equal steps look equal.

/** A whole frame; `flip` is -1 where the result is the page's own canvas, whose y points up. */
export const FRAME_VERTEX = `#version 300 es
uniform float flip;
out vec2 place;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  place = corner;
  gl_Position = vec4(corner.x * 2.0 - 1.0, (corner.y * 2.0 - 1.0) * flip, 0.0, 1.0);
}`;

export const COPY_FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D frame;
in vec2 place;
out vec4 colour;
void main() {
  colour = vec4(texture(frame, place).rgb, 1.0);
}`;

/** Coverages; the colour mask chooses the channel. */
export const MASK_VERTEX = `#version 300 es
uniform vec2 size;
in vec3 corner;
out float cover;
void main() {
  cover = corner.z;
  gl_Position = vec4(corner.xy / size * 2.0 - 1.0, 0.0, 1.0);
}`;

export const MASK_FRAGMENT = `#version 300 es
precision mediump float;
in float cover;
out vec4 mask;
void main() {
  mask = vec4(smoothstep(0.0, 1.0, cover));
}`;

export const MAKEUP_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D frame, masks, moreMasks;
uniform vec2 size;          // of the frame in pixels
uniform vec2 span;          // columns that have make-up, from and to
uniform float radius;       // of what foundation smooths, in pixels
uniform float lipsLod, skinLod;
uniform vec2 lipProbes[2], skinProbes[3];
uniform vec3 colours[6];    // foundation, blush, shadow, brows, liner, lips
uniform float strengths[6];
uniform float gloss;        // 1 for gloss, 0 for matte
in vec2 place;
out vec4 result;

vec3 toLinear(vec3 c) {
  return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}

vec3 fromLinear(vec3 c) {
  c = clamp(c, 0.0, 1.0);
  return mix(12.92 * c, 1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

vec3 toLab(vec3 srgb) {
  vec3 c = toLinear(srgb);
  vec3 lms = vec3(dot(c, vec3(0.4122214708, 0.5363325363, 0.0514459929)),
                  dot(c, vec3(0.2119034982, 0.6806995451, 0.1073969566)),
                  dot(c, vec3(0.0883024619, 0.2817188376, 0.6299787005)));
  lms = pow(max(lms, 0.0), vec3(1.0 / 3.0));
  return vec3(dot(lms, vec3(0.2104542553, 0.7936177850, -0.0040720468)),
              dot(lms, vec3(1.9779984951, -2.4285922050, 0.4505937099)),
              dot(lms, vec3(0.0259040371, 0.7827717662, -0.8086757660)));
}

vec3 fromLab(vec3 lab) {
  vec3 lms = vec3(dot(lab, vec3(1.0, 0.3963377774, 0.2158037573)),
                  dot(lab, vec3(1.0, -0.1055613458, -0.0638541728)),
                  dot(lab, vec3(1.0, -0.0894841775, -1.2914855480)));
  lms = lms * lms * lms;
  return fromLinear(vec3(dot(lms, vec3(4.0767416621, -3.3077115913, 0.2309699292)),
                         dot(lms, vec3(-1.2684380046, 2.6097574011, -0.3413193965)),
                         dot(lms, vec3(-0.0041960863, -0.7034186147, 1.7076147010))));
}

vec3 labAt(vec2 at, float lod) {
  return toLab(textureLod(frame, at, lod).rgb);
}

// The mean of what looks like this pixel, around it: edges stay.
vec3 smoothed(vec3 own) {
  vec3 sum = own;
  float total = 1.0, lod = max(0.0, log2(radius / 8.0));
  for (int i = 0; i < 24; i++) {
    float angle = float(i) * 2.3999632, far = radius * sqrt((float(i) + 0.5) / 24.0);
    vec3 other = textureLod(frame, place + far * vec2(cos(angle), sin(angle)) / size, lod).rgb;
    vec3 apart = other - own;
    float weight = exp(-dot(apart, apart) / 0.012);
    sum += weight * other;
    total += weight;
  }
  return sum / total;
}

void main() {
  vec4 first = texture(masks, place), second = texture(moreMasks, place);
  float bare = second.a;
  float lips = first.r * strengths[5], shadow = first.b * strengths[2];
  float liner = first.a * strengths[4], brows = second.r * strengths[3];
  float skin = second.b * (1.0 - bare);
  float blush = second.g * skin * strengths[1], foundation = skin * strengths[0];
  if (gl_FragCoord.x < span.x || gl_FragCoord.x > span.y
      || lips + shadow + liner + brows + blush + foundation < 0.002) discard;

  vec3 own = texture(frame, place).rgb, lab = toLab(own);
  vec3 tone = (labAt(skinProbes[0], skinLod) + labAt(skinProbes[1], skinLod)
    + labAt(skinProbes[2], skinLod)) / 3.0;
  // How bright the light on the face is, by a skin of middle tone.
  float light = clamp(tone.x / 0.72, 0.45, 1.15);
  // Hair and what is behind a turned head have another colour than the skin.
  float away = length((lab - tone) * vec3(0.55, 2.0, 2.0));
  float alike = 1.0 - smoothstep(0.12, 0.24, away);

  foundation *= alike;
  if (foundation > 0.002) {
    vec3 base = toLab(smoothed(own)), wanted = toLab(colours[0]);
    vec3 even = vec3(base.x + 0.4 * (lab.x - base.x), mix(base.yz, tone.yz, 0.45));
    even.x += 0.12 * (wanted.x * light - tone.x);
    even.yz = mix(even.yz, wanted.yz, 0.3);
    lab = mix(lab, even, foundation);
  }
  blush *= alike;
  vec3 wanted = toLab(colours[1]);
  lab.yz = mix(lab.yz, wanted.yz, 0.5 * blush);
  lab.x = mix(lab.x, min(lab.x, wanted.x * light), 0.22 * blush);

  wanted = toLab(colours[2]);
  lab = mix(lab, vec3(lab.x * mix(0.62, 1.0, wanted.x), mix(lab.yz, wanted.yz, 0.85)), 0.8 * shadow);

  wanted = toLab(colours[3]);
  // Mostly where there is hair, and a little between.
  brows *= 0.22 + 0.78 * smoothstep(0.03, 0.14, tone.x - lab.x);
  lab = mix(lab, vec3(min(lab.x, 0.45 * lab.x + 0.55 * wanted.x * light), mix(lab.yz, wanted.yz, 0.7)),
            0.85 * brows);

  wanted = toLab(colours[4]);
  lab = mix(lab, vec3(0.15 * lab.x + 0.85 * wanted.x * light, wanted.yz), 0.92 * liner);

  if (lips > 0.002) {
    wanted = toLab(colours[5]);
    vec3 lip = 0.5 * (labAt(lipProbes[0], lipsLod) + labAt(lipProbes[1], lipsLod));
    float middle = lip.x, detail = lab.x - middle;
    // Teeth are brighter than lips, and not red.
    lips *= 1.0 - smoothstep(0.08, 0.18, detail)
      * (1.0 - smoothstep(0.3, 0.65, lab.y / max(lip.y, 0.02)));
    // Highlights stay on gloss, and go from matte; the darker folds stay on both.
    float bright = max(detail, 0.0) * mix(0.45, 1.25, gloss), dark = min(detail, 0.0);
    vec3 painted = vec3(mix(middle, wanted.x * light, 0.72) + bright + 0.9 * dark, wanted.yz * light);
    painted.x += gloss * first.g * 0.14 * light * smoothstep(-0.08, 0.06, detail);
    painted.yz *= 1.0 - 0.55 * gloss * smoothstep(0.05, 0.2, painted.x - wanted.x * light);
    lab = mix(lab, painted, 0.94 * lips);
  }
  result = vec4(fromLab(lab), 1.0);
}`;
