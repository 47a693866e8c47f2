// The controls of the make-up.
import {FIRST_LOOK, LOOK_NAMES, lookOf, PRODUCTS} from "./products.js";

/** @typedef {import("./products.js").Look} Look */

/** Looks, and strength, colour and finish of each product; they tell when one changes. */
export class Controls {
  /**
   * @param {HTMLElement} looks
   * @param {HTMLElement} products
   * @param {() => void} changed
   */
  constructor(looks, products, changed) {
    this.changed = changed;
    this.look = lookOf(FIRST_LOOK);
    /** @type {Record<string, {set: HTMLFieldSetElement, show: () => void}>} */
    this.rows = {};
    for (const name of LOOK_NAMES) looks.append(this.choice(name));
    for (const product of PRODUCTS) products.append(this.row(product));
    this.choose(FIRST_LOOK);
  }

  /**
   * Takes a look as a whole.
   * @param {string} name
   */
  choose(name) {
    this.look = lookOf(name);
    for (const {show} of Object.values(this.rows)) show();
    for (const radio of document.querySelectorAll("input[name=look]")) {
      const input = /** @type {HTMLInputElement} */ (radio);
      input.checked = input.value === name;
    }
    this.changed();
  }

  /**
   * Products that a model's landmarks cannot place are switched off.
   * @param {Record<import("./products.js").ProductName, boolean>} wearable
   */
  allow(wearable) {
    for (const {name} of PRODUCTS) {
      this.rows[name].set.disabled = !wearable[name];
      this.rows[name].set.title = wearable[name] ? "" : "The model's points do not tell where";
    }
  }

  /** @param {string} name */
  choice(name) {
    const label = document.createElement("label"), input = document.createElement("input");
    input.type = "radio";
    input.name = "look";
    input.value = name;
    input.addEventListener("change", () => this.choose(name));
    label.append(input, name);
    return label;
  }

  /** @param {import("./products.js").Product} product */
  row({name, label, finishes}) {
    const set = document.createElement("fieldset"), legend = document.createElement("legend");
    set.className = "product";
    legend.textContent = label;
    const strength = document.createElement("input"), colour = document.createElement("input");
    strength.type = "range";
    strength.max = "100";
    strength.id = `${name}-strength`;
    strength.setAttribute("aria-label", `${label}: strength`);
    colour.type = "color";
    colour.id = `${name}-colour`;
    colour.setAttribute("aria-label", `${label}: colour`);
    set.append(legend, strength, colour);
    const finish = finishes && document.createElement("select");
    if (finish) {
      finish.setAttribute("aria-label", `${label}: finish`);
      finish.id = `${name}-finish`;
      finish.append(...finishes.map((value) => new Option(value)));
      set.append(finish);
    }
    set.addEventListener("input", () => {
      this.look[name] = {strength: Number(strength.value) / 100, colour: colour.value,
        finish: finish ? finish.value : ""};
      for (const radio of document.querySelectorAll("input[name=look]")) {
        /** @type {HTMLInputElement} */ (radio).checked = false;
      }
      this.changed();
    });
    this.rows[name] = {set, show: () => {
      const applied = this.look[name];
      strength.value = String(Math.round(100 * applied.strength));
      colour.value = applied.colour;
      if (finish) finish.value = applied.finish;
    }};
    return set;
  }
}
