// Corrections: tools that act where the pointer is, undo, and saving.

import * as api from "./api.js";
import { placeIn } from "./findings.js";
import { around, component, CYST, grown, indexOf, KIDNEY, line, NAMES, nearest, NOTHING, TUMOR } from "./labels.js";

const at = (id) => document.getElementById(id);
const HINTS = {
  look: "Click or drag moves the crosshair.",
  brush: "Drag in a slice to paint.",
  eraser: "Drag in a slice to take away.",
  grow: "Click into a lesion that is missing. Voxels around it with nearly the same HU, within the radius, become one. Move the sliders until it fits.",
};
const SEARCH_MM = 60;

export class Correct {
  constructor(scene, on) {
    [this.scene, this.on] = [scene, on];
    this.tool = "look";
    this.value = TUMOR;
    this.#wire();
  }

  /** Begin with a version's labels. */
  open(labels) {
    this.labels = labels;
    this.saved = 0;
    this.grow = null;
    this.#changed(null);
  }

  get dirty() {
    return Boolean(this.labels) && this.labels.done.length !== this.saved;
  }

  choose(tool) {
    this.tool = tool;
    for (const button of at("tools").children) button.setAttribute("aria-checked", String(button.dataset.tool === tool));
    at("ring").hidden = true;
    at("planes").classList.toggle("painting", tool !== "look");
    at("tool-hint").textContent = HINTS[tool];
    if (tool === "grow" && this.value === KIDNEY) this.paint(TUMOR);
    at("swatches").hidden = tool === "look" || tool === "eraser";
    at("swatches").firstElementChild.hidden = tool === "grow";
    at("row-size").hidden = at("row-ball").hidden = !["brush", "eraser"].includes(tool);
    at("row-radius").hidden = at("row-band").hidden = tool !== "grow";
  }

  /** Choose what the brush paints. */
  paint(value) {
    this.value = value;
    for (const button of at("swatches").children) button.setAttribute("aria-checked", String(Number(button.dataset.value) === value));
  }

  resize(by) {
    at("size").value = Number(at("size").value) + by;
    this.#texts();
  }

  undo() { this.grow = null; this.#changed(this.labels.undo()); }

  redo() { this.#changed(this.labels.redo()); }

  /** A command about a lesion of the list: change its kind, or take it away. */
  act(name, lesion) {
    const value = NAMES.indexOf(lesion.kind);
    const { shape, spacing, voxels } = this.labels;
    const place = this.scene.indexAt(placeIn(lesion));
    const start = nearest(voxels, shape, spacing, place, value, SEARCH_MM);
    if (start < 0) {
      this.on.said(`This ${lesion.kind} is not there any more.`);
      return;
    }
    const becomes = { change: value === TUMOR ? CYST : TUMOR, "to-kidney": KIDNEY, "to-nothing": NOTHING }[name];
    this.#step(component(voxels, shape, start), becomes);
  }

  async save(event) {
    event.preventDefault();
    if (!this.dirty) {
      at("saved").textContent = "Nothing was changed.";
      return;
    }
    at("save").disabled = true;
    at("saved").textContent = "Measuring and saving …";
    const done = this.labels.done.length;
    try {
      const made = await this.on.save(this.labels.voxels, { who: at("who").value, note: at("note").value });
      this.saved = done;
      at("note").value = "";
      at("saved").textContent = [`Saved as version ${made.name}.`, ...(made.not_written || [])].join(" ");
      await this.on.saved(made);
    } catch (error) {
      at("saved").textContent = "";
      if (!(error instanceof api.Problem)) throw error;
      this.on.said(error.message);
    } finally {
      at("save").disabled = false;
      this.#changed(null);
    }
  }

  #step(indices, value) {
    this.labels.begin();
    for (const i of indices) this.labels.set(i, value);
    this.#changed(this.labels.end());
  }

  #changed(slices) {
    if (slices) this.scene.redraw(...slices);
    at("undo").disabled = !this.labels?.done.length;
    at("redo").disabled = !this.labels?.undone.length;
    this.on.changed(this.dirty);
  }

  #wire() {
    const box = this.scene.canvas.parentElement;
    const listen = (kind, act) => box.addEventListener(kind, act, { capture: true, passive: false });
    listen("pointerdown", (event) => this.#down(event));
    listen("pointermove", (event) => this.#move(event));
    listen("pointerup", (event) => this.#up(event));
    listen("pointercancel", (event) => this.#up(event));
    // NiiVue listens to these; a stroke must not move its crosshair.
    for (const kind of ["mousedown", "mousemove", "touchstart", "touchmove", "touchend"]) {
      listen(kind, (event) => {
        if (this.tool !== "look" && (this.stroke || event.type !== "mousemove") && !(event.button > 0)) event.stopPropagation();
      });
    }
    box.addEventListener("pointermove", (event) => this.#ringAt(event));
    box.addEventListener("pointerleave", () => { at("ring").hidden = true; });
    for (const button of at("tools").children) button.addEventListener("click", () => this.choose(button.dataset.tool));
    for (const value of [KIDNEY, TUMOR, CYST]) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.value = value;
      button.setAttribute("role", "radio");
      button.className = NAMES[value];
      button.innerHTML = `<span class="dot"></span>${NAMES[value]}`;
      button.addEventListener("click", () => { this.paint(value); this.#regrow(); });
      at("swatches").append(button);
    }
    at("size").addEventListener("input", () => this.#texts());
    for (const id of ["radius", "band"]) {
      at(id).addEventListener("input", () => { this.#texts(); this.#regrow(); });
    }
    at("undo").addEventListener("click", () => this.undo());
    at("redo").addEventListener("click", () => this.redo());
    at("save-form").addEventListener("submit", (event) => this.save(event));
    this.paint(TUMOR);
    this.choose("look");
    this.#texts();
  }

  #texts() {
    at("size-text").value = `${(Number(at("size").value)).toFixed(0)} mm`;
    at("radius-text").value = `${at("radius").value} mm`;
    at("band-text").value = `± ${at("band").value} HU`;
  }

  /** A ring of the brush's size around the pointer. */
  #ringAt(event) {
    const painting = ["brush", "eraser"].includes(this.tool) && this.labels;
    const scale = painting ? this.scene.pixelsPerMm(event, this.labels.spacing) : 0;
    at("ring").hidden = !scale;
    const box = at("planes").getBoundingClientRect(), size = `${Number(at("size").value) * scale}px`;
    Object.assign(at("ring").style, {
      width: size, height: size, left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px`,
    });
  }

  #down(event) {
    if (this.tool === "look" || event.button !== 0 || event.shiftKey || event.ctrlKey || !this.labels) return;
    const under = this.scene.under(event);
    if (!under) return;
    event.preventDefault();
    event.stopPropagation();
    this.scene.follow(under);
    if (this.tool === "grow") {
      this.grow = { seed: under.voxel, steps: -1 };
      this.#regrow();
      return;
    }
    event.target.setPointerCapture?.(event.pointerId);
    this.labels.begin();
    this.stroke = { axis: under.axis, last: under.voxel };
    this.#dab(under.voxel);
  }

  #move(event) {
    if (!this.stroke) return;
    event.stopPropagation();
    const under = this.scene.under(event);
    if (!under || under.axis !== this.stroke.axis) return;
    // The slice of the first touch: rounding must not leave it.
    under.voxel[under.axis] = this.stroke.last[under.axis];
    for (const voxel of line(this.stroke.last, under.voxel)) this.#dab(voxel);
    this.stroke.last = under.voxel;
  }

  #up(event) {
    if (!this.stroke) return;
    event.stopPropagation();
    this.stroke = null;
    this.grow = null;
    this.#changed(this.labels.end());
  }

  #dab(voxel) {
    const { shape, spacing } = this.labels;
    const axis = at("ball").checked ? -1 : this.stroke.axis;
    const value = this.tool === "eraser" ? NOTHING : this.value;
    const indices = around(shape, spacing, voxel, Number(at("size").value) / 2, axis);
    for (const i of indices) this.labels.set(i, value);
    this.scene.redraw(...this.labels.slices(indices));
  }

  /** Grow from the last click with the sliders as they are now, in place of what it gave before. */
  #regrow() {
    if (!this.grow || this.tool !== "grow") return;
    const { labels } = this;
    if (this.grow.steps === labels.done.length) this.#changed(labels.undo());
    const found = grown(labels.voxels, this.scene.hu, labels.shape, labels.spacing, this.grow.seed,
      Number(at("radius").value), Number(at("band").value));
    if (!found.length) {
      this.grow = null;
      this.on.said("A lesion is already there. To change it, take the brush, or its line in the findings.");
      return;
    }
    this.#step(found, this.value);
    this.grow.steps = labels.done.length;
  }

  /** What lies under the crosshair, for the status line. */
  labelAt(voxel) {
    return this.labels ? NAMES[this.labels.voxels[indexOf(this.labels.shape, voxel)]] : "";
  }
}
