"""Label maps of other programs: DICOM Segmentations, RT Structure Sets, named segments."""

from __future__ import annotations

from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
from helpers.segment_files import ct_series, truth, write_rtstruct, write_seg, write_seg_nrrd

from fuzzing.changed_bytes import changed_bytes
from fuzzing.dicom import changed_dataset, changed_lengths
from fuzzing.dicom_trees import changed_tree
from renalis.errors import InputError
from renalis.evaluation.label_sources import kind_of, read_pair
from renalis.io.segments.dicom_seg import read_dicom_seg
from renalis.io.segments.rtstruct import read_rtstruct

__all__ = ["target"]


class Segments:
    """A reference as NIfTI, and a prediction that was changed."""

    def __init__(self, scratch: Path) -> None:
        images, grid = ct_series()
        labels = truth()
        masks = {"Kidney|SCT:64033007": labels > 0, "Tumor|SCT:108369006": labels == 2}
        whole = {"kidney": labels > 0, "tumor": labels == 2}
        self.grid = grid
        write_seg(scratch / "seg.dcm", images, masks)
        write_seg(scratch / "fraction.dcm", images, masks, segmentation_type="FRACTIONAL",
                  max_fractional_value=100)  # fmt: skip
        write_rtstruct(scratch / "rt.dcm", grid, whole)
        write_seg_nrrd(scratch / "s.seg.nrrd", grid, [labels], [("Kidney", 0, 1), ("Tumor", 0, 2)])
        self.seeds = {p.name: p.read_bytes() for p in sorted(scratch.iterdir())}
        self.reference = scratch / "reference.nii.gz"
        nib.save(nib.Nifti1Image(labels, grid.affine), self.reference)

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a prediction."""
        name = rng.choice(list(self.seeds))
        content = self.seeds[name]
        if name.endswith(".nrrd"):
            content, words = changed_bytes(content, rng, early=600)
        else:
            change = rng.choice((changed_tree, changed_tree, changed_dataset, changed_lengths,
                                 changed_bytes))  # fmt: skip
            content, words = change(content, rng)
        (folder / name).write_bytes(content)
        return [name, *words]

    def use(self, folder: Path) -> None:
        """Read it alone and beside its reference, in either place."""
        path = next(folder.iterdir())
        kind_of(path)
        for pair in ((self.reference, path), (path, self.reference)):
            try:
                first, _ = read_pair(*pair)
                assert np.isfinite(first.volume.affine).all()
            except InputError:
                pass
        if path.name == "rt.dcm":
            read_rtstruct(path, self.grid)
        elif path.suffix == ".dcm":
            read_dicom_seg(path)


def target(scratch: Path) -> Segments:
    """What tries label maps of other programs."""
    return Segments(scratch)
