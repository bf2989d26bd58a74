// A label map that is edited: plain functions of numbers, without a picture.
// Voxel (x, y, z) has index x + nx * (y + ny * z); x runs to the patient's right, y to the front,
// z to the head.

export const NOTHING = 0, KIDNEY = 1, TUMOR = 2, CYST = 3;
export const NAMES = ["nothing", "kidney", "tumor", "cyst"];
const MOST_STEPS = 60;

export const indexOf = ([nx, ny], [x, y, z]) => x + nx * (y + ny * z);
export const placeOf = ([nx, ny], i) => [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))];

/** Labels with their history. Each step is one stroke or command and can be taken back. */
export class Labels {
  constructor(voxels, shape, spacing) {
    this.voxels = voxels;
    this.shape = shape;
    this.spacing = spacing;
    this.done = [];
    this.undone = [];
  }

  /** Start a step; what is set from now on belongs to it. */
  begin() {
    this.step = { at: [], before: [], after: [] };
  }

  set(i, value) {
    if (this.voxels[i] === value) return;
    this.step.at.push(i);
    this.step.before.push(this.voxels[i]);
    this.step.after.push(value);
    this.voxels[i] = value;
  }

  /** Finish a step; returns the slices [low, high] that it touched, or null. */
  end() {
    const step = this.step;
    this.step = null;
    if (!step.at.length) return null;
    this.done.push(step);
    if (this.done.length > MOST_STEPS) this.done.shift();
    this.undone = [];
    return this.slices(step.at);
  }

  undo() {
    const step = this.done.pop();
    if (!step) return null;
    for (let n = step.at.length - 1; n >= 0; n--) this.voxels[step.at[n]] = step.before[n];
    this.undone.push(step);
    return this.slices(step.at);
  }

  redo() {
    const step = this.undone.pop();
    if (!step) return null;
    for (let n = 0; n < step.at.length; n++) this.voxels[step.at[n]] = step.after[n];
    this.done.push(step);
    return this.slices(step.at);
  }

  slices(indices) {
    const plane = this.shape[0] * this.shape[1];
    let low = Infinity, high = -1;
    for (const i of indices) {
      const z = Math.floor(i / plane);
      if (z < low) low = z;
      if (z > high) high = z;
    }
    return [low, high];
  }
}

/** Indices within a radius (mm) of a voxel: in one plane (axis across it), or a ball (axis -1). */
export function around(shape, spacing, center, radius, axis = -1) {
  const reach = spacing.map((mm, a) => (a === axis ? 0 : Math.floor(radius / mm)));
  const found = [];
  const limit = radius * radius + 1e-6;
  const range = (a) => [Math.max(0, center[a] - reach[a]), Math.min(shape[a] - 1, center[a] + reach[a])];
  const [[x0, x1], [y0, y1], [z0, z1]] = [range(0), range(1), range(2)];
  for (let z = z0; z <= z1; z++) {
    for (let y = y0; y <= y1; y++) {
      const rest = ((z - center[2]) * spacing[2]) ** 2 + ((y - center[1]) * spacing[1]) ** 2;
      for (let x = x0; x <= x1; x++) {
        if (rest + ((x - center[0]) * spacing[0]) ** 2 <= limit) found.push(x + shape[0] * (y + shape[1] * z));
      }
    }
  }
  return found;
}

/** Voxels on the way from one voxel to another, both included, half a voxel apart at most. */
export function line(from, to) {
  const steps = Math.max(1, ...from.map((v, a) => Math.abs(to[a] - v))) * 2;
  return Array.from({ length: steps + 1 }, (_, n) => from.map((v, a) => Math.round(v + ((to[a] - v) * n) / steps)));
}

/** All voxels connected to one (26 neighbors) that have its label. */
export function component(voxels, shape, start) {
  const value = voxels[start];
  const found = [start];
  const seen = new Set(found);
  const [nx, ny, nz] = shape;
  for (let n = 0; n < found.length; n++) {
    const [x, y, z] = placeOf(shape, found[n]);
    for (let k = Math.max(0, z - 1); k <= Math.min(nz - 1, z + 1); k++) {
      for (let j = Math.max(0, y - 1); j <= Math.min(ny - 1, y + 1); j++) {
        for (let i = Math.max(0, x - 1); i <= Math.min(nx - 1, x + 1); i++) {
          const at = i + nx * (j + ny * k);
          if (voxels[at] === value && !seen.has(at)) {
            seen.add(at);
            found.push(at);
          }
        }
      }
    }
  }
  return found;
}

/** The voxel with a label that is nearest to a place (mm apart at most), or -1. */
export function nearest(voxels, shape, spacing, place, value, within) {
  const center = place.map((v, a) => Math.min(shape[a] - 1, Math.max(0, Math.round(v))));
  let best = -1, least = Infinity;
  for (const i of around(shape, spacing, center, within)) {
    if (voxels[i] !== value) continue;
    const far = placeOf(shape, i).reduce((sum, v, a) => sum + ((v - center[a]) * spacing[a]) ** 2, 0);
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

/**
 * A lesion around a clicked voxel: connected voxels (faces) within a radius (mm) whose HU, averaged
 * over 3 x 3 voxels of their slice, differ by no more than a band from the clicked one's. Holes of
 * noise are closed. Other lesions are left alone.
 */
export function grown(voxels, hu, shape, spacing, seed, radius, band) {
  const [nx, ny] = shape;
  const within = new Set(around(shape, spacing, seed, radius));
  const smooth = (i) => {
    const [x, y] = placeOf(shape, i);
    let sum = 0, count = 0;
    for (let dy = y > 0 ? -1 : 0; dy <= (y < ny - 1 ? 1 : 0); dy++) {
      for (let dx = x > 0 ? -1 : 0; dx <= (x < nx - 1 ? 1 : 0); dx++) {
        sum += hu[i + dx + nx * dy];
        count++;
      }
    }
    return sum / count;
  };
  const start = indexOf(shape, seed);
  const wanted = smooth(start);
  const free = (i) => within.has(i) && voxels[i] !== TUMOR && voxels[i] !== CYST;
  if (!free(start)) return [];
  const found = [start];
  const inside = new Set(found);
  for (let n = 0; n < found.length; n++) {
    for (const at of faces(shape, found[n])) {
      if (!inside.has(at) && free(at) && Math.abs(smooth(at) - wanted) <= band) {
        inside.add(at);
        found.push(at);
      }
    }
  }
  for (let round = 0; round < 2; round++) {
    const holes = new Set();
    for (const i of found) for (const at of faces(shape, i)) if (!inside.has(at) && free(at)) holes.add(at);
    for (const i of holes) {
      if (faces(shape, i).filter((at) => inside.has(at)).length >= 4) {
        inside.add(i);
        found.push(i);
      }
    }
  }
  return found;
}

function faces(shape, i) {
  const [nx, ny, nz] = shape;
  const [x, y, z] = placeOf(shape, i);
  const found = [];
  if (x > 0) found.push(i - 1);
  if (x < nx - 1) found.push(i + 1);
  if (y > 0) found.push(i - nx);
  if (y < ny - 1) found.push(i + nx);
  if (z > 0) found.push(i - nx * ny);
  if (z < nz - 1) found.push(i + nx * ny);
  return found;
}
