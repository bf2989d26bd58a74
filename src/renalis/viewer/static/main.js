// The page: which case and version is shown, and what its parts have to do with each other.

import * as api from "./api.js";
import { Compare } from "./compare.js";
import { Correct } from "./correct.js";
import { Findings } from "./findings.js";
import { bindKeys } from "./keys.js";
import { CYST, KIDNEY, Labels, TUMOR } from "./labels.js";
import { LAYOUTS, Scene, WINDOWS } from "./scene.js";
import { Solid } from "./solid.js";

const at = (id) => document.getElementById(id);
const scene = new Scene(at("planes-canvas"), moved);
const solid = new Solid(at("solid-canvas"), at("solid-note"));
const correct = new Correct(scene, { changed, moved, said, save: keep, saved });
const findings = new Findings(at("findings"), (mm) => scene.jump(mm), (name, lesion) => correct.act(name, lesion));
const compare = new Compare(scene);
let shown = null; // {name, about, version}
let known = [];
let opened = null, solidOpened = null;

function said(sentence) {
  at("message").hidden = !sentence;
  at("message").firstElementChild.textContent = sentence;
}

function loading(text) {
  at("loading").hidden = !text;
  at("loading").firstElementChild.textContent = text;
}

function moved() {
  if (!scene.hu) return;
  const voxel = scene.voxel, [nx, ny] = scene.shape;
  const mm = scene.mm;
  const side = (value, plus, minus) => `${value < 0 ? minus : plus} ${Math.abs(value).toFixed(0)}`;
  at("where").textContent = `${side(mm[0], "R", "L")}  ${side(mm[1], "A", "P")}  ${side(mm[2], "S", "I")} mm`;
  at("value").textContent = `${scene.hu[voxel[0] + nx * (voxel[1] + ny * voxel[2])]} HU · ${correct.labelAt(voxel)}`;
  const { low, high } = scene.range;
  at("zoomed").textContent = `${low.toFixed(0)} to ${high.toFixed(0)} HU${scene.zoom === 1 ? "" : `  × ${scene.zoom.toFixed(1)}`}`;
}

function changed(dirty) {
  findings.stale(dirty);
  if (dirty) solid.stale("As it was before the changes");
  at("save").disabled = !dirty;
  document.title = `${dirty ? "• " : ""}${shown ? `${shown.name} · ` : ""}renalis`;
  moved();
}

function keep(voxels, words) {
  return api.correct(shown.name, voxels, { ...words, grid: shown.about.grid, based_on: shown.version });
}

async function saved(made) {
  shown.about = await api.about(shown.name);
  shown.version = made.name;
  await measuredAnew();
  known = await api.cases();
}

/** What belongs to the version that is shown, besides its labels. */
async function measuredAnew() {
  listVersions();
  const measured = await api.measurements(shown.name, shown.version).catch(() => null);
  findings.show(measured, { editable: true });
  findings.stale(correct.dirty);
  guarded(drawSurfaces(shown.name, shown.version));
  await compare.against(shown);
}

/** The 3D view may come later than all else. */
async function drawSurfaces(name, version) {
  solid.stale("…");
  const [surfaces] = await Promise.all([api.surfaces(name, version), solidOpened ??= solid.open()]);
  if (shown?.name !== name || shown.version !== version) return;
  solid.show(surfaces);
  if (correct.dirty) changed(true);
}

const titled = (version) => (version.name === "model" ? "Model" : `Correction ${Number(version.name)}`);

function listVersions() {
  const { versions } = shown.about;
  const entries = [...versions].reverse();
  at("version").replaceChildren(...entries.map((version) => new Option(titled(version), version.name, false, version.name === shown.version)));
  at("version-choice").hidden = false;
  at("versions").replaceChildren(...entries.map((version) => {
    const item = document.createElement("li"), button = document.createElement("button"), small = document.createElement("small");
    button.type = "button";
    button.append(titled(version));
    const from = version.based_on ? `from ${version.based_on === "model" ? "the model" : Number(version.based_on)}` : "";
    const when = version.when ? new Date(version.when).toLocaleString() : "";
    small.textContent = [version.who, when, from, version.note].filter(Boolean).join(" · ") || "as it was made";
    button.append(small);
    button.setAttribute("aria-pressed", String(version.name === shown.version));
    button.addEventListener("click", () => showVersion(version.name));
    item.append(button);
    return item;
  }));
}

/** Whether changes may be lost: saved already, or the reader says so. */
const mayLeave = () => !correct.dirty || window.confirm("Leave without saving the changes?");

async function showVersion(name) {
  if (name === shown.version && !correct.dirty) return;
  if (!mayLeave()) {
    listVersions();
    return;
  }
  const voxels = await api.labels(shown.name, name);
  shown.version = name;
  scene.relabel(voxels);
  correct.open(new Labels(voxels, shown.about.shape, shown.about.spacing_mm));
  await measuredAnew();
}

async function showCase(name) {
  at("list").hidden = true;
  at("viewer").hidden = false;
  said("");
  loading(`Reading ${name} …`);
  at("case").value = name;
  at("case-choice").hidden = known.length < 2;
  scene.hu = null;
  const wanted = api.about(name);
  // The graphics card gets its programs while the scan is read.
  const [about, voxels, buffer] = await Promise.all([
    wanted, wanted.then((found) => api.labels(name, found.versions.at(-1).name)), api.scan(name),
    opened ??= scene.open()]);
  shown = { name, about, version: about.versions.at(-1).name };
  await scene.load(buffer, voxels);
  scene.compare(null);
  correct.open(new Labels(voxels, about.shape, about.spacing_mm));
  at("who").value ||= about.who;
  choose("layouts", layoutNow);
  scene.window(scene.range);
  loading("");
  await measuredAnew();
  const first = findings.rows[0];
  if (first) first.button.click();
  moved();
  document.body.dataset.ready = name;
}

function showList() {
  at("viewer").hidden = at("case-choice").hidden = at("version-choice").hidden = true;
  at("list").hidden = false;
  at("cases").replaceChildren(...known.map((one) => {
    const row = document.createElement("tr");
    const link = document.createElement("a");
    link.href = `#${one.address}`;
    link.textContent = one.name;
    const size = one.largest_mm === null ? "–" : `${one.largest_mm.toFixed(0)} mm`;
    for (const cell of [link, one.kidneys, one.tumors, one.cysts, size, one.corrections || "–"]) {
      row.insertCell().append(cell);
    }
    row.addEventListener("click", () => { location.hash = one.address; });
    return row;
  }));
  document.body.dataset.ready = "list";
}

async function follow() {
  const address = location.hash.slice(1);
  const one = known.find((entry) => entry.address === address) ?? (known.length === 1 ? known[0] : null);
  if (shown && one?.name === shown.name && !at("viewer").hidden) return;
  if (shown && !mayLeave()) {
    history.replaceState(null, "", `#${encodeURIComponent(shown.name)}`);
    at("case").value = shown.name;
    return;
  }
  delete document.body.dataset.ready;
  shown = null;
  try {
    if (one) await showCase(one.name);
    else showList();
  } catch (error) {
    loading(error.message);
    document.body.dataset.ready = "problem";
    if (!(error instanceof api.Problem)) throw error;
  }
}

// Windows, layouts, overlay

let layoutNow = window.innerWidth <= 820 ? "axial" : "main";
const LAYOUT_NAMES = { main: "Axial + 3", four: "Four", axial: "A", coronal: "C", sagittal: "S", solid: "3D" };

function choose(group, value) {
  if (group === "windows") {
    scene.window(WINDOWS[value]);
  } else {
    layoutNow = value;
    scene.layout(value);
    solid.layout(LAYOUTS[value].solid);
  }
  for (const button of at(group).children) button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
}

function choices(group, entries) {
  for (const [value, text, title] of entries) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text, title });
    button.dataset.value = value;
    button.addEventListener("click", () => choose(group, value));
    at(group).append(button);
  }
}

function tab(name) {
  for (const one of ["findings", "correct", "compare"]) {
    at(one).hidden = one !== name;
    at(`tab-${one}`).setAttribute("aria-selected", String(one === name));
  }
  if (name !== "correct") correct.choose("look");
}

function theme(next) {
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* kept for this page only */ }
}

function toggleContours() {
  at("contours").checked = !at("contours").checked;
  scene.show({ contours: at("contours").checked });
}

function wire() {
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* as the system says */ }
  const system = window.matchMedia("(prefers-color-scheme: light)");
  document.documentElement.dataset.theme = kept ?? (system.matches ? "light" : "dark");
  at("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "light" ? "dark" : "light"));
  at("help").addEventListener("click", () => at("keys").showModal());
  at("message").lastElementChild.addEventListener("click", () => said(""));
  choices("windows", WINDOWS.map((one, n) => [n, one.name, `${one.low} to ${one.high} HU (${n + 1})`]));
  choices("layouts", Object.entries(LAYOUT_NAMES).map(([value, text]) => [value, text, `Layout: ${value} (L)`]));
  choose("windows", 0);
  for (const name of ["findings", "correct", "compare"]) at(`tab-${name}`).addEventListener("click", () => tab(name));
  at("fill").addEventListener("input", () => scene.show({ fill: at("fill").value / 100 }));
  at("contours").addEventListener("change", () => scene.show({ contours: at("contours").checked }));
  at("case").addEventListener("change", () => { location.hash = encodeURIComponent(at("case").value); });
  at("version").addEventListener("change", () => guarded(showVersion(at("version").value)));
  window.addEventListener("hashchange", () => guarded(follow()));
  window.addEventListener("beforeunload", (event) => { if (correct.dirty) event.preventDefault(); });
  const tools = (tool) => () => { tab("correct"); correct.choose(tool); };
  bindKeys([
    { keys: ["ArrowUp", "ArrowDown"], text: "one slice to the head, to the feet", act: (key) => scene.step(0, 0, key === "ArrowUp" ? 1 : -1) },
    { keys: ["ArrowLeft", "ArrowRight"], text: "one voxel across", act: (key) => scene.step(key === "ArrowLeft" ? 1 : -1, 0, 0) },
    { keys: ["PageUp", "PageDown"], text: "ten slices", act: (key) => scene.step(0, 0, key === "PageUp" ? 10 : -10) },
    { keys: ["n", "p"], text: "next, previous lesion", act: (key) => findings.walk(key === "n" ? 1 : -1) },
    { keys: ["1", "2", "3", "4"], text: "window: soft tissue, kidney, wide, bone", act: (key) => choose("windows", Number(key) - 1) },
    { keys: ["l"], text: "next layout", act: () => choose("layouts", nextOf(Object.keys(LAYOUTS), layoutNow)) },
    { keys: ["c"], text: "contours", act: toggleContours },
    { keys: ["o"], text: "hide and show all labels", act: () => scene.show({ hidden: !scene.shown.hidden }) },
    { keys: ["+", "-", "0"], text: "zoom in, out, back", act: (key) => scene.zoomTo(key === "0" ? 1 : scene.zoom * (key === "+" ? 1.25 : 0.8)) },
    { keys: ["b", "e", "a"], text: "brush, eraser, add a lesion", act: (key) => tools({ b: "brush", e: "eraser", a: "grow" }[key])() },
    { keys: ["Escape"], text: "look only", act: () => correct.choose("look") },
    { keys: ["k", "t", "y"], text: "paint kidney, tumor, cyst", act: (key) => correct.paint({ k: KIDNEY, t: TUMOR, y: CYST }[key]) },
    { keys: ["[", "]"], text: "smaller, larger brush", act: (key) => correct.resize(key === "[" ? -1 : 1) },
    { keys: ["z"], control: true, text: "undo; with Shift: redo", act: (_, event) => (event.shiftKey ? correct.redo() : correct.undo()) },
    { keys: ["s"], control: true, text: "save as a new version", act: () => at("save-form").requestSubmit() },
    { keys: ["?"], text: "this list", act: () => at("keys").showModal() },
  ], [["Left button", "crosshair, or the tool"], ["Wheel", "slices; with Ctrl: zoom"], ["Right button", "window"], ["Shift + drag, middle button", "move the picture"]]);
}

const nextOf = (all, now) => all[(all.indexOf(now) + 1) % all.length];

async function guarded(work) {
  try {
    await work;
  } catch (error) {
    said(error.message);
    if (!(error instanceof api.Problem)) throw error;
  }
}

wire();
await guarded((async () => {
  known = await api.cases();
  at("case").replaceChildren(...known.map((one) => new Option(one.name, one.name)));
  await follow();
})());
