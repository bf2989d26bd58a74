"""Cubic resampling by other libraries, the scan in memory.

python resampling.py METHOD SCAN Z Y X
"""

from __future__ import annotations

import json
import sys

import nibabel as nib
import numpy as np
from meter import metered

WINDOW = (-200.0, 400.0)


def main() -> None:
    method, path, *words = sys.argv[1:]
    image = nib.load(path)
    spacing = np.asarray(image.header.get_zooms()[::-1], float)
    array = np.ascontiguousarray(np.asarray(image.dataobj).T)
    hu = np.clip(array, *WINDOW).astype(np.float32)
    shape = [round(n * s / float(mm)) for n, s, mm in zip(hu.shape, spacing, words, strict=True)]
    zoom = np.divide(shape, hu.shape)
    if method == "scipy":
        from scipy import ndimage

        work = (ndimage.zoom, hu, zoom)
        named = {"order": 3, "mode": "nearest", "grid_mode": True}
    elif method == "skimage":
        from skimage.transform import resize

        work, named = (resize, hu, shape), {"order": 3, "mode": "edge", "anti_aliasing": False}
    elif method == "nnunet":
        from nnunetv2.preprocessing.resampling.default_resampling import (
            resample_data_or_seg_to_shape,
        )

        new = [float(mm) for mm in words]
        work = (resample_data_or_seg_to_shape, hu[None], shape, spacing, new)
        named = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    elif method == "totalsegmentator":
        from totalsegmentator.resampling import resample_img

        work, named = (resample_img, hu.astype(np.float64), zoom), {"order": 3, "nr_cpus": 1}
    elif method == "simpleitk":
        import SimpleITK as sitk

        source = sitk.GetImageFromArray(hu)
        filter_ = sitk.ResampleImageFilter()
        filter_.SetInterpolator(sitk.sitkBSpline)
        filter_.SetSize([int(n) for n in shape[::-1]])
        filter_.SetOutputSpacing([float(1 / z) for z in zoom[::-1]])
        filter_.SetOutputOrigin([float((1 / z - 1) / 2) for z in zoom[::-1]])
        work, named = (filter_.Execute, source), {}
    else:
        raise SystemExit(f"no method {method}")
    found = metered(*work, **named)
    print(json.dumps({"work_cpu_s": found["cpu_s"], "work_mb": found["extra_mb"]}))


if __name__ == "__main__":
    main()
