// Two segmentations over each other: the shown one filled, the other's contours, and their Dice.

import * as api from "./api.js";

const at = (id) => document.getElementById(id);
const TITLES = { reference: "Reference", compared: "Other run", model: "Model" };

export class Compare {
  constructor(scene) {
    this.scene = scene;
    at("other").addEventListener("change", () => this.#shown());
  }

  /** What the shown version can be compared with. */
  async against(shown) {
    const versions = shown.about.versions.map((version) => version.name).filter((name) => name !== shown.version);
    const names = [...shown.about.others, ...versions];
    const before = this.case === shown.name ? at("other").value : "";
    [this.shown, this.case] = [shown, shown.name];
    at("tab-compare").hidden = !names.length;
    const title = (name) => TITLES[name] ?? `Correction ${Number(name)}`;
    const first = shown.about.others[0] ?? "";
    const chosen = names.includes(before) || before === "" && this.asked ? before : first;
    at("other").replaceChildren(new Option("nothing", ""), ...names.map((name) => new Option(title(name), name, false, name === chosen)));
    await this.#shown();
  }

  async #shown() {
    const name = at("other").value;
    this.asked = true;
    at("agreement").replaceChildren();
    try {
      this.scene.compare(name ? await api.labels(this.case, name) : null);
      if (name) this.#table(await api.agreement(this.case, this.shown.version, name));
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      at("agreement").textContent = error.message;
    }
  }

  #table(dice) {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const text of ["", "Dice"]) {
      const cell = document.createElement("th");
      cell.textContent = text;
      head.append(cell);
    }
    for (const [name, value] of Object.entries(dice)) {
      const row = table.insertRow(), cell = document.createElement("th");
      cell.textContent = name === "kidney" ? "kidney with lesions" : name;
      row.append(cell);
      row.insertCell().textContent = value === null ? "–" : value.toFixed(3);
    }
    at("agreement").replaceChildren(table);
  }
}
