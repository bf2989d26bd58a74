// Reads a DICOM Segmentation with dcmjs, an independent reader, and prints what it finds as JSON:
// for each frame its segment, the place of its first pixel, and runs (start, length) of set pixels.
// node read_segmentation.cjs FOLDER_OF_NODE_MODULES FILE
const fs = require("node:fs");
const path = require("node:path");

const [modules, file] = process.argv.slice(2);
const dcmjs = require(path.resolve(modules, "dcmjs"));
console.log = console.warn = () => {};

const stored = fs.readFileSync(file);
const buffer = stored.buffer.slice(stored.byteOffset, stored.byteOffset + stored.byteLength);
const message = dcmjs.data.DicomMessage.readFile(buffer);
const data = dcmjs.data.DicomMetaDictionary.naturalizeDataset(message.dict);

const listed = (value) => (Array.isArray(value) ? value : [value]);
const bits = dcmjs.data.BitArray.unpack(listed(data.PixelData)[0]);
const size = data.Rows * data.Columns;
const frames = listed(data.PerFrameFunctionalGroupsSequence).map((item, number) => {
  const runs = [];
  const plane = bits.subarray(number * size, (number + 1) * size);
  for (let at = 0; at < size; at++) {
    if (!plane[at]) continue;
    const start = at;
    while (at < size && plane[at]) at++;
    runs.push([start, at - start]);
  }
  return {
    segment: Number(listed(item.SegmentIdentificationSequence)[0].ReferencedSegmentNumber),
    position: listed(item.PlanePositionSequence)[0].ImagePositionPatient.map(Number),
    runs,
  };
});
const segments = listed(data.SegmentSequence).map((one) => one.SegmentLabel);
process.stdout.write(JSON.stringify({ rows: data.Rows, columns: data.Columns, segments, frames }));
