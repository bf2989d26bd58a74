// Kidneys and lesions as surfaces, in a picture of its own: planes are redrawn without it.
/* global niivue */

import { COLORS } from "./scene.js";

const KIDNEY = 1;

export class Solid {
  constructor(canvas, note) {
    this.canvas = canvas;
    this.note = note;
    this.nv = new niivue.Niivue({
      sliceType: 4, backColor: [0.043, 0.059, 0.078, 1], dragAndDropEnabled: false, logLevel: "error",
      isOrientCube: true, show3Dcrosshair: false, viewModeHotKey: "", clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "", loadingText: "", fontColor: [0.85, 0.9, 0.95, 1],
    });
  }

  async open() {
    await this.nv.attachToCanvas(this.canvas, true);
    this.nv.keyDownListener = this.nv.keyUpListener = () => {};
    this.nv.setRenderAzimuthElevation(180, 5);
  }

  /** Show surfaces ({label, vertices, triangles}); lesions first, kidneys translucent around them. */
  show(surfaces, note = "") {
    this.note.textContent = surfaces.length ? note : "Nothing is labeled";
    for (const mesh of [...this.nv.meshes]) this.nv.removeMesh(mesh);
    for (const { label, vertices, triangles } of surfaces) {
      const color = new Uint8Array([...COLORS[label], 255]);
      const opacity = label === KIDNEY ? 0.55 : 1;
      const mesh = new niivue.NVMesh(vertices, triangles, "", color, opacity, true, this.nv.gl);
      this.nv.addMesh(mesh);
    }
    this.nv.drawScene();
  }

  stale(note) {
    this.note.textContent = note;
  }

  layout(place) {
    const box = this.canvas.parentElement;
    box.hidden = !place;
    if (!place) return;
    const [left, top, width, height] = place.map((share) => `${share * 100}%`);
    Object.assign(box.style, { left, top, width, height });
  }
}
