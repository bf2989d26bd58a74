// Everything the page asks its server for. All addresses are relative: the page may lie anywhere.

/** An answer that says what is wrong, in a sentence for the reader. */
export class Problem extends Error {}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Problem("renalis view does not answer any more; start it again.");
  }
  if (response.ok) return response;
  let sentence = `The server answered with ${response.status}.`;
  try {
    sentence = (await response.json()).problem ?? sentence;
  } catch { /* no sentence came with it */ }
  throw new Problem(sentence);
}

const at = (name, ...rest) => ["api/cases", encodeURIComponent(name), ...rest].join("/");

export const cases = async () => (await asked("api/cases")).json();
export const about = async (name) => (await asked(at(name))).json();
export const scan = async (name) => (await asked(at(name, "scan"))).arrayBuffer();
export const measurements = async (name, version) => (await asked(at(name, "measurements", version))).json();
export const agreement = async (name, one, other) => (await asked(at(name, "agreement", one, other))).json();

export async function labels(name, version) {
  return new Uint8Array(await (await asked(at(name, "labels", version))).arrayBuffer());
}

/** Surfaces: {label, vertices: Float32Array, triangles: Uint32Array}. */
export async function surfaces(name, version) {
  const buffer = await (await asked(at(name, "surfaces", version))).arrayBuffer();
  const view = new DataView(buffer);
  const found = [];
  let place = 4;
  for (let left = view.getUint32(0, true); left > 0; left--) {
    const [label, corners, faces] = [0, 4, 8].map((step) => view.getUint32(place + step, true));
    place += 12;
    const vertices = new Float32Array(buffer, place, corners * 3);
    place += corners * 12;
    const triangles = new Uint32Array(buffer, place, faces * 3);
    place += faces * 12;
    found.push({ label, vertices, triangles });
  }
  return found;
}

/** Save a label map as a new version; resolves to what is known about it. */
export async function correct(name, labelMap, about) {
  const packed = new Blob([labelMap]).stream().pipeThrough(new CompressionStream("gzip"));
  const body = await new Response(packed).blob();
  const query = new URLSearchParams(about);
  const path = `${at(name, "corrections")}?${query}`;
  const headers = { "Content-Type": "application/octet-stream" };
  return (await asked(path, { method: "POST", body, headers })).json();
}
