// The products of the page, and looks that are made of them.

/**
 * @typedef {"foundation" | "blush" | "shadow" | "brows" | "liner" | "lips"} ProductName
 *
 * @typedef {object} Product
 * @property {ProductName} name
 * @property {string} label
 * @property {string} colour As the page offers it first.
 * @property {readonly string[]} [finishes]
 *
 * @typedef {object} Applied A product on a face.
 * @property {number} strength 0 to 1; 0 is none.
 * @property {string} colour `#rrggbb`.
 * @property {string} finish
 *
 * @typedef {Record<ProductName, Applied>} Look
 */

/** In the order in which they are put on. @type {readonly Product[]} */
export const PRODUCTS = Object.freeze([
  {name: "foundation", label: "Foundation", colour: "#dcae8c"},
  {name: "blush", label: "Blush", colour: "#d9637a"},
  {name: "shadow", label: "Eye shadow", colour: "#7a4b6a"},
  {name: "brows", label: "Eyebrows", colour: "#4a3326"},
  {name: "liner", label: "Eyeliner", colour: "#14110f"},
  {name: "lips", label: "Lipstick", colour: "#b3202e", finishes: ["matte", "gloss"]},
]);

/** Strengths, and colours and finishes that differ. @type {Record<string, Record<string, any>>} */
const LOOKS = {
  None: {},
  Natural: {
    foundation: {strength: 0.45}, blush: {strength: 0.4, colour: "#d98579"},
    shadow: {strength: 0.35, colour: "#a9745c"}, brows: {strength: 0.35},
    liner: {strength: 0.35, colour: "#33241c"},
    lips: {strength: 0.5, colour: "#b85a5e", finish: "matte"},
  },
  Evening: {
    foundation: {strength: 0.6}, blush: {strength: 0.45}, shadow: {strength: 0.7},
    brows: {strength: 0.5}, liner: {strength: 0.85},
    lips: {strength: 0.85, colour: "#a3122b", finish: "gloss"},
  },
  Bold: {
    foundation: {strength: 0.6}, blush: {strength: 0.6, colour: "#e0567d"},
    shadow: {strength: 0.9, colour: "#2f6f8f"}, brows: {strength: 0.6}, liner: {strength: 1},
    lips: {strength: 1, colour: "#7d1150", finish: "matte"},
  },
};

/** The one that the page shows first: plain to see. */
export const FIRST_LOOK = "Evening";
/** The names of the looks. */
export const LOOK_NAMES = Object.freeze(Object.keys(LOOKS));

/**
 * The look of that name.
 * @param {string} name
 * @returns {Look}
 */
export function lookOf(name) {
  const rows = PRODUCTS.map(({name: product, colour, finishes}) => [product, {
    strength: 0, colour, finish: finishes?.[0] ?? "", ...LOOKS[name][product],
  }]);
  return Object.fromEntries(rows);
}

/**
 * Which products a face with these parts can have; none where it has no parts.
 * @param {import("./parts.js").Parts | undefined} parts
 * @returns {Record<ProductName, boolean>}
 */
export function wearable(parts) {
  if (!parts) {
    return {foundation: false, blush: false, shadow: false, brows: false, liner: false, lips: false};
  }
  const {lips, eyes, brows} = parts;
  return {foundation: true, blush: true, shadow: eyes.length > 0, brows: brows.length > 0,
    liner: eyes.length > 0, lips: lips !== null};
}
