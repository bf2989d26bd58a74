// Scan and labels on the graphics card as they are: int16 HU and a byte per voxel.
// The window is applied while a slice is drawn, so that it changes at once, and a stroke brings only
// the slices that it touched. Within a slice HU are interpolated; labels never are.

const FIRST_UNIT = 11; // NiiVue uses 0 to 10
const NAMES = ["scan", "marks", "others"];
const SLAB = 1 << 24;

export const SLICE_SHADER = `#version 300 es
precision highp int;
precision highp float;
precision highp isampler3D;
precision highp usampler3D;
uniform highp isampler3D scan;
uniform highp usampler3D marks, others;
uniform float low, high, fill, rim, pixels;
uniform int axCorSag, compared;
uniform vec3 colors[4], otherColors[4];
in vec3 texPos;
out vec4 color;
ivec3 size, across, up;
float hu(ivec3 at) {
  return float(texelFetch(scan, clamp(at, ivec3(0), size - 1), 0).r);
}
ivec3 voxel(vec3 place) {
  return clamp(ivec3(floor(place * vec3(size))), ivec3(0), size - 1);
}
bool border(usampler3D map, uint value, vec3 x, vec3 y) {
  return texelFetch(map, voxel(texPos + x), 0).r != value || texelFetch(map, voxel(texPos - x), 0).r != value
    || texelFetch(map, voxel(texPos + y), 0).r != value || texelFetch(map, voxel(texPos - y), 0).r != value;
}
void main() {
  size = textureSize(scan, 0);
  across = axCorSag == 2 ? ivec3(0, 1, 0) : ivec3(1, 0, 0);
  up = axCorSag == 0 ? ivec3(0, 1, 0) : ivec3(0, 0, 1);
  ivec3 here = voxel(texPos);
  vec3 place = texPos * vec3(size) - 0.5;
  ivec3 base = ivec3(floor(place)) * (across + up) + here * (1 - across - up);
  vec3 part = fract(place);
  float s = dot(part, vec3(across)), t = dot(part, vec3(up));
  float value = mix(mix(hu(base), hu(base + across), s), mix(hu(base + up), hu(base + across + up), s), t);
  vec3 shade = vec3(clamp((value - low) / max(high - low, 1.0), 0.0, 1.0));
  vec3 x = dFdx(texPos) * pixels, y = dFdy(texPos) * pixels;
  uint mark = texelFetch(marks, here, 0).r;
  if (mark > 0u) shade = mix(shade, colors[mark], border(marks, mark, x, y) ? max(rim, fill) : fill);
  if (compared > 0) {
    uint other = texelFetch(others, here, 0).r;
    if (other > 0u && border(others, other, x, y)) shade = otherColors[other];
  }
  color = vec4(shade, 1.0);
}`;

export class Textures {
  constructor(gl, program) {
    Object.assign(this, { gl, program, made: {} });
    gl.useProgram(program);
    NAMES.forEach((name, n) => gl.uniform1i(this.#place(name), FIRST_UNIT + n));
  }

  /** Room for a scan of that shape; what was there goes. */
  begin(shape) {
    this.shape = shape;
    const most = this.gl.getParameter(this.gl.MAX_3D_TEXTURE_SIZE);
    if (Math.max(...shape) > most) throw new Error(`This graphics card shows scans of up to ${most} voxels along each axis; this one has ${Math.max(...shape)}.`);
    // A sampler without a texture of its kind would stop all drawing.
    for (const name of NAMES) this.#make(name, name === "others" ? [1, 1, 1] : shape);
  }

  #place(name) {
    return this.gl.getUniformLocation(this.program, name);
  }

  #make(name, [nx, ny, nz]) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + FIRST_UNIT + NAMES.indexOf(name));
    if (this.made[name]) gl.deleteTexture(this.made[name]);
    this.made[name] = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_3D, this.made[name]);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, filter, gl.NEAREST);
    for (const wrap of [gl.TEXTURE_WRAP_R, gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_3D, wrap, gl.CLAMP_TO_EDGE);
    gl.texStorage3D(gl.TEXTURE_3D, 1, name === "scan" ? gl.R16I : gl.R8UI, nx, ny, nz);
    gl.activeTexture(gl.TEXTURE0);
  }

  /** Bring slices low to high of an array into a texture. */
  upload(name, array, low, high) {
    const { gl } = this, [nx, ny] = this.shape;
    if (name === "others" && low === 0) this.#make(name, this.shape);
    gl.activeTexture(gl.TEXTURE0 + FIRST_UNIT + NAMES.indexOf(name));
    gl.bindTexture(gl.TEXTURE_3D, this.made[name]);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const kind = name === "scan" ? gl.SHORT : gl.UNSIGNED_BYTE;
    const step = Math.max(1, Math.floor(SLAB / (nx * ny)));
    for (let z = low; z <= high; z += step) {
      const depth = Math.min(step, high + 1 - z);
      const slab = array.subarray(z * nx * ny, (z + depth) * nx * ny);
      gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, z, nx, ny, depth, gl.RED_INTEGER, kind, slab);
    }
    gl.activeTexture(gl.TEXTURE0);
  }

  /** Set numbers of the shader: {name: number}, colors: {name: [[r, g, b], ...]} of 0 to 255. */
  set(numbers, colors = {}) {
    const { gl } = this;
    gl.useProgram(this.program);
    for (const [name, value] of Object.entries(numbers)) {
      if (name === "compared") gl.uniform1i(this.#place(name), value);
      else gl.uniform1f(this.#place(name), value);
    }
    for (const [name, list] of Object.entries(colors)) {
      gl.uniform3fv(this.#place(name), list.flat().map((part) => part / 255));
    }
  }
}
