// The three planes. NiiVue lays them out, and knows crosshair, pan and the way to patient mm; it
// does so for a grid of few voxels that fills the same space. The voxels themselves are drawn by
// textures.js: NiiVue's own volumes take sixteen bytes a voxel on the graphics card.
/* global niivue */

import { SLICE_SHADER, Textures } from "./textures.js";

export const COLORS = [[0, 0, 0], [79, 195, 247], [255, 83, 48], [255, 242, 122]];
const OTHER_COLORS = [[0, 0, 0], [201, 167, 255], [255, 138, 209], [157, 255, 138]];
export const WINDOWS = [
  { name: "Soft tissue", low: -160, high: 240 },
  { name: "Kidney", low: -60, high: 260 },
  { name: "Wide", low: -700, high: 1300 },
  { name: "Bone", low: -450, high: 1550 },
];
const [AXIAL, CORONAL, SAGITTAL] = [0, 1, 2];
/** Where the planes and the 3D view lie, as shares of the picture: left, top, width, height. */
export const LAYOUTS = {
  main: { planes: [[AXIAL, 0, 0, 0.64, 1], [CORONAL, 0.64, 0, 0.36, 0.36], [SAGITTAL, 0.64, 0.36, 0.36, 0.34]], solid: [0.64, 0.7, 0.36, 0.3] },
  four: { planes: [[AXIAL, 0, 0, 0.5, 0.5], [CORONAL, 0.5, 0, 0.5, 0.5], [SAGITTAL, 0, 0.5, 0.5, 0.5]], solid: [0.5, 0.5, 0.5, 0.5] },
  axial: { planes: [[AXIAL, 0, 0, 1, 1]] },
  coronal: { planes: [[CORONAL, 0, 0, 1, 1]] },
  sagittal: { planes: [[SAGITTAL, 0, 0, 1, 1]] },
  solid: { planes: [], solid: [0, 0, 1, 1] },
};
const HEADER = 352;
const COARSE = 8;
const HU_A_PIXEL = 2;

export class Scene {
  constructor(canvas, onMoved) {
    this.canvas = canvas;
    this.onMoved = onMoved;
    this.shown = { fill: 0.25, contours: true, hidden: false };
    const { DRAG_MODE } = niivue;
    this.nv = new niivue.Niivue({
      isRadiologicalConvention: true, sagittalNoseLeft: true, isOrientationTextVisible: true,
      showAllOrientationMarkers: true,
      backColor: [0, 0, 0, 1], crosshairColor: [1, 0.84, 0.3, 0.6], crosshairWidth: 0.7,
      crosshairWidthUnit: "mm", crosshairGap: 14, fontColor: [0.85, 0.9, 0.95, 1], fontSizeScaling: 0.35,
      fontMinPx: 14, tileMargin: 0, dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "", logLevel: "error", loadingText: "", multiplanarShowRender: 0,
    });
    this.nv.setMouseEventConfig({
      leftButton: { primary: DRAG_MODE.crosshair, withShift: DRAG_MODE.pan, withCtrl: DRAG_MODE.pan },
      rightButton: DRAG_MODE.none, centerButton: DRAG_MODE.pan,
    });
    this.nv.setTouchEventConfig({ singleTouch: DRAG_MODE.crosshair, doubleTouch: DRAG_MODE.pan });
    this.nv.onLocationChange = () => onMoved();
    // NiiVue's own keys (A: frames, V: view, ...) would act beside ours.
    this.nv.keyDownListener = this.nv.keyUpListener = () => {};
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { capture: true, passive: false });
    for (const kind of ["mousedown", "mousemove", "mouseup"]) {
      canvas.addEventListener(kind, (event) => this.#windowing(event), { capture: true });
    }
  }

  async open() {
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("This browser has no WebGL 2, which the pictures need; take another one, or allow it in the settings.");
    }
    await this.nv.attachToCanvas(this.canvas, false);
    this.nv.setCustomSliceShader(SLICE_SHADER);
    this.textures = new Textures(this.nv.gl, this.nv.customSliceShader.program);
    this.textures.set({ compared: 0, ...this.range }, { colors: COLORS, otherColors: OTHER_COLORS });
  }

  /** Show a scan (NIfTI bytes in the page's order) with labels (a byte per voxel). */
  async load(buffer, labels) {
    const view = new DataView(buffer);
    this.shape = [42, 44, 46].map((place) => view.getInt16(place, true));
    this.hu = new Int16Array(buffer, HEADER);
    this.textures.begin(this.shape);
    this.nv.volumes = [];
    await this.nv.addVolumeFromUrl({ url: "grid.nii", name: "grid.nii", buffer: this.#coarse(buffer), colormap: "gray" });
    const turned = this.nv.volumes[0].permRAS;
    if (!turned || turned.some((axis, n) => axis !== n + 1)) {
      throw new Error("the browser turned the scan's axes; please report this");
    }
    this.textures.upload("scan", this.hu, 0, this.shape[2] - 1);
    this.zoomTo(1);
    this.relabel(labels);
  }

  /** A NIfTI file of few voxels that fills the same space. */
  #coarse(buffer) {
    const file = new ArrayBuffer(HEADER + 2 * COARSE ** 3);
    new Uint8Array(file).set(new Uint8Array(buffer, 0, HEADER));
    const view = new DataView(file);
    const counts = this.shape.map((n) => Math.min(n, COARSE));
    counts.forEach((count, axis) => {
      view.setInt16(42 + 2 * axis, count, true);
      view.setFloat32(80 + 4 * axis, (view.getFloat32(80 + 4 * axis, true) * this.shape[axis]) / count, true);
    });
    for (let row = 0; row < 3; row++) {
      const place = 280 + 16 * row;
      let start = view.getFloat32(place + 12, true);
      counts.forEach((count, axis) => {
        const step = view.getFloat32(place + 4 * axis, true), times = this.shape[axis] / count;
        start += step * (times - 1) / 2; // centers of the first voxels
        view.setFloat32(place + 4 * axis, step * times, true);
      });
      view.setFloat32(place + 12, start, true);
    }
    return file;
  }

  /** Show other labels on the same scan. */
  relabel(labels) {
    this.labels = labels;
    this.redraw(0, this.shape[2] - 1);
  }

  /** Bring changed slices of the labels into the picture. */
  redraw(low, high) {
    this.textures.upload("marks", this.labels, low, high);
    this.show({});
  }

  /** Fill (0 to 1), contours, hidden: what is left out stays as it is. */
  show(changes) {
    Object.assign(this.shown, changes);
    const { fill, contours, hidden } = this.shown;
    this.textures?.set({
      fill: hidden ? 0 : fill, rim: contours && !hidden ? 1 : 0, pixels: Math.max(1, window.devicePixelRatio * 0.75),
      compared: Number(Boolean(this.other) && !hidden),
    });
    this.draw();
  }

  /** Draw soon, once for however many changes. */
  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.nv.drawScene();
    });
  }

  /** Contours of other labels over the scan; null takes them away. */
  compare(labels) {
    this.other = labels;
    if (labels) this.textures.upload("others", labels, 0, this.shape[2] - 1);
    this.show({});
  }

  window({ low, high }) {
    this.range = { low, high };
    this.textures?.set(this.range);
    this.draw();
    this.onMoved();
  }

  layout(name) {
    const tiles = LAYOUTS[name].planes;
    this.canvas.parentElement.hidden = !tiles.length;
    if (tiles.length) this.nv.setCustomLayout(tiles.map(([sliceType, ...position]) => ({ sliceType, position })));
  }

  /** The voxel under the crosshair. */
  get voxel() {
    return this.#voxelAt(this.nv.scene.crosshairPos);
  }

  #voxelAt(share) {
    return this.shape.map((n, axis) => Math.min(n - 1, Math.max(0, Math.floor(share[axis] * n))));
  }

  /** Index (with fractions) of a place in patient mm. */
  indexAt(mm) {
    const share = this.nv.mm2frac(mm);
    return this.shape.map((n, axis) => share[axis] * n - 0.5);
  }

  get mm() {
    return Array.from(this.nv.frac2mm(this.nv.scene.crosshairPos)).slice(0, 3);
  }

  /** Move the crosshair to a place (patient mm). */
  jump(mm) {
    this.#cross(this.nv.mm2frac(mm));
  }

  /** Move the crosshair by voxels, onto the middle of one. */
  step(...by) {
    const voxel = this.voxel;
    this.#cross(this.shape.map((n, a) => (Math.min(n - 1, Math.max(0, voxel[a] + by[a])) + 0.5) / n));
  }

  #cross(share) {
    for (let axis = 0; axis < 3; axis++) this.nv.scene.crosshairPos[axis] = Math.min(1, Math.max(0, share[axis]));
    this.draw();
    this.onMoved();
  }

  #tile(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    return { x, y, tile: this.nv.tileIndex(x, y) };
  }

  /** Voxel under the pointer, and the axis across the plane that it is over; null beside the scan. */
  under(event) {
    const { x, y, tile } = this.#tile(event);
    if (tile < 0) return null;
    const share = Array.from(this.nv.screenXY2TextureFrac(x, y, tile, false));
    if (share.some((part) => part < 0 || part > 1)) return null;
    return { voxel: this.#voxelAt(share), axis: 2 - this.nv.screenSlices[tile].axCorSag, share };
  }

  /** Pixels of the page per mm where the pointer is. */
  pixelsPerMm(event, spacing) {
    const here = this.under(event), there = this.under({ clientX: event.clientX + 8, clientY: event.clientY });
    if (!here || !there) return 0;
    const mm = Math.hypot(...here.share.map((v, a) => (there.share[a] - v) * this.shape[a] * spacing[a]));
    return mm ? 8 / mm : 0;
  }

  /** Put the crosshair where the pointer is. */
  follow({ share }) {
    this.#cross(share);
  }

  get zoom() {
    return this.nv.scene.pan2Dxyzmm[3];
  }

  /** Zoom so that the crosshair stays where it is. */
  zoomTo(zoom) {
    const pan = this.nv.scene.pan2Dxyzmm;
    const next = Math.min(20, Math.max(0.5, zoom));
    const change = next - pan[3];
    this.mm.forEach((mm, axis) => { pan[axis] -= change * mm; });
    pan[3] = next;
    if (next === 1) pan.fill(0, 0, 3);
    this.draw();
    this.onMoved();
  }

  #wheel(event) {
    event.preventDefault();
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey) {
      this.zoomTo(this.zoom * (event.deltaY < 0 ? 1.15 : 1 / 1.15));
      return;
    }
    const { tile } = this.#tile(event);
    const axis = tile < 0 ? 2 : 2 - this.nv.screenSlices[tile].axCorSag;
    // A wheel's notch is one slice; touch pads send many small steps.
    this.scrolled = (this.scrolled ?? 0) + (Math.abs(event.deltaY) >= 40 ? Math.sign(event.deltaY) : event.deltaY / 40);
    const steps = Math.trunc(this.scrolled);
    this.scrolled -= steps;
    if (steps) this.step(...[0, 1, 2].map((a) => (a === axis ? -steps : 0)));
  }

  /** Right button: width across, level up and down. */
  #windowing(event) {
    if (event.type === "mousedown" && event.button === 2) this.from = [event.clientX, event.clientY];
    if (!this.from) return;
    event.stopPropagation();
    if (event.type === "mouseup") this.from = null;
    else if (event.type === "mousemove") {
      const wide = (event.clientX - this.from[0]) * HU_A_PIXEL, up = (this.from[1] - event.clientY) * HU_A_PIXEL;
      const level = (this.range.low + this.range.high) / 2 - up;
      const half = Math.max(5, (this.range.high - this.range.low + wide) / 2);
      this.from = [event.clientX, event.clientY];
      this.window({ low: level - half, high: level + half });
    }
  }
}
