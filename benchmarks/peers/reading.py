"""Read and write .nii.gz by other libraries, and take slices out of whole volumes.

python reading.py nibabel|simpleitk read|write-ct|write-labels SCAN LABELS OUTPUT
python reading.py slices nibabel|npy FILE COUNT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from meter import per_cpu_second, repeated


def with_nibabel(action: str, scan: str, labels: str, output: str):
    """A call that reads or writes."""
    if action == "read":
        return lambda: np.asarray(nib.load(scan).dataobj)
    image = nib.load(scan if action == "write-ct" else labels)
    array = np.asarray(image.dataobj)
    array = array if action == "write-ct" else array.astype(np.uint8)
    return lambda: nib.save(nib.Nifti1Image(array, image.affine), output)


def with_simpleitk(action: str, scan: str, labels: str, output: str):
    """A call that reads or writes."""
    import SimpleITK as sitk

    if action == "read":
        return lambda: sitk.GetArrayFromImage(sitk.ReadImage(scan))
    image = sitk.ReadImage(scan if action == "write-ct" else labels)
    image = image if action == "write-ct" else sitk.Cast(image, sitk.sitkUInt8)
    return lambda: sitk.WriteImage(image, output, True)


def slices(kind: str, path: str, count: str) -> dict:
    """Slices per second of one core when each is cut from its whole volume."""
    if kind == "nibabel":
        one = lambda k: np.asarray(nib.load(path).dataobj)[..., k].astype(np.float32)  # noqa: E731
        depth = nib.load(path).shape[2]
    elif kind == "npy":
        one = lambda k: np.load(path)[k].astype(np.float32)  # noqa: E731
        depth = np.load(path, mmap_mode="r").shape[0]
    else:
        raise SystemExit(f"no kind {kind}")
    order = np.random.default_rng(0).integers(0, depth, int(count))
    return {"per_cpu_s": per_cpu_second(one, order)}


def main() -> None:
    library, *words = sys.argv[1:]
    if library == "slices":
        print(json.dumps(slices(*words)))
        return
    make = with_nibabel if library == "nibabel" else with_simpleitk
    found = repeated(make(*words), 3)
    output = Path(words[-1])
    size = output.stat().st_size / 1e6 if output.exists() else None
    print(json.dumps({f"work_{name}": value for name, value in found.items()} | {"file_mb": size}))


if __name__ == "__main__":
    main()
