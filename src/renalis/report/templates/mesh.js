"use strict";
// The 3D view. Orthographic, so that lengths compare; the lamp stays with the viewer.
// Without WebGL 2 the still picture under the canvas simply stays.
(() => {
  const canvas = document.getElementById("mesh-canvas");
  const data = document.getElementById("mesh-data");
  if (!canvas || !data) return;
  const scene = JSON.parse(data.textContent);
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: true });
  if (!gl || scene.meshes.length === 0) return;

  const VERTEX = `#version 300 es
    in vec3 position; in vec3 normal;
    uniform mat3 turn; uniform vec3 scale;
    out vec3 facing;
    void main() {
      facing = turn * normal;
      gl_Position = vec4(turn * position * scale, 1.0);
    }`;
  const FRAGMENT = `#version 300 es
    precision mediump float;
    in vec3 facing; uniform vec4 color; out vec4 shade;
    void main() {
      vec3 n = normalize(facing);
      float lamp = max(dot(n, normalize(vec3(-0.35, 0.55, 0.76))), 0.0);
      float rim = pow(1.0 - abs(n.z), 3.0);
      vec3 lit = color.rgb * (0.32 + 0.68 * lamp) + vec3(0.10) * rim;
      shade = vec4(lit, min(1.0, color.a + 0.35 * rim));
    }`;

  const shader = (kind, source) => {
    const made = gl.createShader(kind);
    gl.shaderSource(made, source);
    gl.compileShader(made);
    return made;
  };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, FRAGMENT));
  gl.bindAttribLocation(program, 0, "position");
  gl.bindAttribLocation(program, 1, "normal");
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return;
  const place = (name) => gl.getUniformLocation(program, name);
  const turnPlace = place("turn"), scalePlace = place("scale"), colorPlace = place("color");

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

  // Normals are made here: they would double the size of the page.
  const normalsOf = (points, corners) => {
    const sums = new Float32Array(points.length);
    for (let i = 0; i < corners.length; i += 3) {
      const [a, b, c] = [3 * corners[i], 3 * corners[i + 1], 3 * corners[i + 2]];
      const u = [0, 1, 2].map((k) => points[b + k] - points[a + k]);
      const v = [0, 1, 2].map((k) => points[c + k] - points[a + k]);
      const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) sums[corner + k] += n[k];
    }
    return sums;
  };

  const buffer = (target, values) => {
    gl.bindBuffer(target, gl.createBuffer());
    gl.bufferData(target, values, gl.STATIC_DRAW);
  };
  const middle = scene.low.map((low, k) => (low + scene.high[k]) / 2);
  const radius = Math.hypot(...scene.low.map((low, k) => scene.high[k] - low)) / 2 || 1;

  const meshes = scene.meshes.map((mesh) => {
    const steps = new Uint16Array(bytes(mesh.positions));
    const corners = new (mesh.wide ? Uint32Array : Uint16Array)(bytes(mesh.triangles));
    const points = Float32Array.from(
      steps, (step, i) => scene.low[i % 3] + step * scene.step - middle[i % 3]);
    const layout = gl.createVertexArray();
    gl.bindVertexArray(layout);
    [points, normalsOf(points, corners)].forEach((values, slot) => {
      buffer(gl.ARRAY_BUFFER, values);
      gl.enableVertexAttribArray(slot);
      gl.vertexAttribPointer(slot, 3, gl.FLOAT, false, 0, 0);
    });
    buffer(gl.ELEMENT_ARRAY_BUFFER, corners);
    const type = mesh.wide ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    return { layout, type, count: corners.length, color: [...mesh.color, mesh.opacity], on: true };
  });

  const pose = { yaw: 0.35, pitch: 0.15, zoom: 1 };
  // Rows: viewer's right, up, towards the viewer. At rest the viewer stands before the patient.
  const rotation = () => {
    const [cy, sy, cp, sp] = [
      Math.cos(pose.yaw), Math.sin(pose.yaw), Math.cos(pose.pitch), Math.sin(pose.pitch)];
    const base = [[-1, 0, 0], [0, 0, 1], [0, 1, 0]];
    const x = base[0].map((value, k) => cy * value + sy * base[2][k]);
    const depth = base[0].map((value, k) => -sy * value + cy * base[2][k]);
    const y = base[1].map((value, k) => cp * value - sp * depth[k]);
    const z = base[1].map((value, k) => sp * value + cp * depth[k]);
    return [x, y, z];
  };

  const letters = [...document.querySelectorAll("#mesh-letters span")];
  const axes = { R: [1, 0, 0], L: [-1, 0, 0], A: [0, 1, 0], P: [0, -1, 0], H: [0, 0, 1], F: [0, 0, -1] };
  const placeLetters = (rows) => {
    for (const span of letters) {
      const axis = axes[span.textContent];
      const [x, y, z] = rows.map((row) => row[0] * axis[0] + row[1] * axis[1] + row[2] * axis[2]);
      span.style.left = `${50 + 46 * x}%`;
      span.style.top = `${50 - 44 * y}%`;
      span.style.opacity = Math.hypot(x, y) < 0.5 ? "0" : String(0.65 + 0.35 * Math.max(-1, z));
    }
  };

  const draw = () => {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * ratio)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const rows = rotation();
    const scale = (1.1 * pose.zoom * Math.min(width, height)) / radius;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.043, 0.059, 0.078, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.uniformMatrix3fv(turnPlace, true, rows.flat());
    gl.uniform3f(scalePlace, scale / width, scale / height, -0.5 / radius);
    const each = (wanted, way) => {
      for (const mesh of meshes) {
        if (!mesh.on || wanted !== mesh.color[3] < 1) continue;
        gl.uniform4fv(colorPlace, mesh.color);
        gl.bindVertexArray(mesh.layout);
        gl.drawElements(gl.TRIANGLES, mesh.count, mesh.type, 0);
      }
    };
    gl.disable(gl.BLEND);
    each(false);
    // Kidneys: first their depth alone, then the nearest layer, blended over the lesions.
    gl.colorMask(false, false, false, false);
    each(true);
    gl.colorMask(true, true, true, true);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    each(true);
    placeLetters(rows);
    canvas.dataset.triangles = String(
      meshes.reduce((sum, mesh) => sum + (mesh.on ? mesh.count / 3 : 0), 0));
  };

  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  const turn = (yaw, pitch) => {
    pose.yaw += yaw;
    pose.pitch = Math.min(Math.PI / 2, Math.max(-Math.PI / 2, pose.pitch + pitch));
    redraw();
  };
  const zoom = (factor) => {
    pose.zoom = Math.min(8, Math.max(0.4, pose.zoom * factor));
    redraw();
  };

  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) turn(event.movementX * 0.01, event.movementY * 0.01);
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.001));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => turn(-0.1, 0), ArrowRight: () => turn(0.1, 0),
    ArrowUp: () => turn(0, -0.1), ArrowDown: () => turn(0, 0.1),
    "+": () => zoom(1.1), "=": () => zoom(1.1), "-": () => zoom(1 / 1.1),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of document.querySelectorAll("[data-yaw]")) {
    button.addEventListener("click", () => {
      Object.assign(pose, { yaw: Number(button.dataset.yaw) * Math.PI / 180,
        pitch: Number(button.dataset.pitch) * Math.PI / 180, zoom: 1 });
      redraw();
    });
  }
  for (const box of document.querySelectorAll("[data-mesh]")) {
    box.addEventListener("change", () => { meshes[Number(box.dataset.mesh)].on = box.checked; redraw(); });
  }
  canvas.addEventListener("webglcontextlost", () => document.documentElement.classList.remove("has-3d"));
  document.documentElement.classList.add("has-3d");
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("print").addEventListener("change", redraw);
  draw();
})();
