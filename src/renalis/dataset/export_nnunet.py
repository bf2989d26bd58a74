"""Write a dataset in nnU-Net's raw format, so that nnU-Net can be trained on the same data.

Format: nnU-Net v2, ``documentation/dataset_format.md``. Files are named ``CASE_0000.nii.gz`` and
``CASE.nii.gz``; label maps are written anew on exactly the grid of their scan, because nnU-Net
refuses affines that differ in the last digit. The scans of KiTS have permuted axes, with which
nnU-Net's default reader does not cope: ``dataset.json`` names the one that does.

Every case is read and checked before the first file is written, and all files are made in a hidden
folder next to the target: a bad case leaves nothing behind, and all of them are named at once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from renalis.child_processes import map_cases
from renalis.conventions import Convention, Label
from renalis.dataset.atomic_folder import new_folder, put_in_place
from renalis.dataset.cases import Case, Dataset, listed
from renalis.dataset.split_files import check_patients, save_splits
from renalis.dataset.splits import Split
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, OutputError, UsageError
from renalis.io import Scan, read_scan, whole_file, write_labels, write_text, write_volume
from renalis.io.read_labels import read_label_map
from renalis.io.scan import case_id_from, shown
from renalis.volume import Volume

__all__ = ["export_nnunet", "labels_for_nnunet"]

_TOLERANCE_MM = 0.01
_EXPLAINED = 10
_ABOUT = "dataset.json"


def export_nnunet(
    dataset: Dataset,
    folder: Path,
    number: int,
    name: str = "",
    *,
    splits: Sequence[Split] = (),
    regions: bool = False,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> Path:
    """Write ``folder/DatasetNNN_Name`` with imagesTr, labelsTr, imagesTs and dataset.json.

    Labelled cases are for training. Cases without labels go to ``imagesTs``, and so do the test
    cases of the splits, with their labels in ``labelsTs``, where nnU-Net does not look.

    Parameters
    ----------
    dataset : Dataset
        What to write.
    folder : Path
        nnU-Net's folder of raw datasets.
    number : int
        nnU-Net's number for it, 1 to 999.
    name : str
        nnU-Net's name for it; by default that of the dataset.
    splits : sequence of Split
        Written as ``splits_final.json``, to be copied to nnU-Net's preprocessed folder. All must
        have the same test cases.
    regions : bool
        For ``kits23``: train on KiTS's nested regions (kidney and all in it, masses, tumor), not
        on labels.
    jobs : int
        Processes.
    overwrite : bool
        Replace what an earlier export wrote, and remove files of cases that now go elsewhere or
        take no part. Until everything new is complete the earlier export stays as it is.
    progress : callable
        Called after each case with how many are done and how many there are; each case counts
        twice, once when it was checked and once when it was written.

    Returns
    -------
    Path
        The folder written. ``dataset.json`` comes last: where it is, all else is there.

    Raises
    ------
    UsageError
        If the number or ``regions`` does not fit.
    InputError
        If cases cannot be read, or their labels do not lie on their grid; all are named, and
        nothing was written.
    OutputError
        If the folder exists, has training cases that are not the dataset's, or cannot be written.
    """
    target = folder / f"Dataset{number:03d}_{case_id_from(name or dataset.name)}"
    if not 1 <= number <= 999:
        raise UsageError("nnU-Net numbers its datasets from 1 to 999")
    dataset.require_scans("nnU-Net's raw format")
    labels = labels_for_nnunet(dataset.convention, regions)
    for split in splits:
        check_patients(split, dataset.cases)
    test = {split.test for split in splits}
    if len(test) > 1:
        raise InputError("the folds have different test cases; nnU-Net knows one test set")
    held: set[str] = set().union(*test)
    dataset.chosen(i for split in splits for i in (*split.train, *split.val, *split.test))
    used = {i for split in splits for i in (*split.train, *split.val)}
    cases = [c for c in dataset.cases if not splits or c.id in used | held or c.label is None]
    training = [c for c in cases if c.label is not None and c.id not in held]
    if not training:
        raise InputError(f"no case in {shown(dataset.root)} has labels to train with")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise OutputError(f"{shown(target)} is there already; choose another --id or --overwrite")
    jobs_of = [_Job(c, c in training) for c in cases]
    stale = _stale_files(target, dataset, jobs_of)
    total = 2 * len(cases)
    convention = dataset.convention
    find = partial(_problem, convention=convention)
    _refuse(jobs_of, map_cases(find, jobs_of, jobs, lambda done, _: progress(done, total)))
    with new_folder(target) as part:
        write = partial(_write_case, target=part, convention=convention)
        map_cases(write, jobs_of, jobs, lambda done, _: progress(len(cases) + done, total))
        if splits:
            folds = [Split(s.train, s.val) for s in splits]
            save_splits(part / "splits_final.json", folds, folds_only=True)
        content = _dataset_json(dataset, labels, len(training), regions)
        write_text(part / _ABOUT, json.dumps(content, indent=1) + "\n")
        put_in_place(part, target, stale, last=_ABOUT)
    return target


def labels_for_nnunet(convention: Convention, regions: bool = False) -> dict[str, int | list[int]]:
    """The field ``labels`` of dataset.json.

    Examples
    --------
    >>> labels_for_nnunet(Convention.KITS23, regions=True)
    {'background': 0, 'kidney': [1, 2, 3], 'masses': [2, 3], 'tumor': 2}
    """
    if not regions:
        return {"background": 0, **convention.values}
    if convention is not Convention.KITS23:
        raise UsageError(f"--regions is for kits23 labels; these are {convention.value}")
    # The challenge's hierarchical evaluation classes, in the order of nnU-Net's own Dataset220.
    kidney, masses = (sorted(convention.region(name) or ()) for name in ("kidney", "masses"))
    return {"background": 0, "kidney": kidney, "masses": masses, "tumor": int(Label.TUMOR)}


@dataclass(frozen=True)
class _Job:
    """A case and whether it is for training."""

    case: Case
    training: bool

    @property
    def subset(self) -> str:
        """nnU-Net's ending of the folders that the case goes to."""
        return "Tr" if self.training else "Ts"


def _files(case: Case, subset: str) -> tuple[str, str]:
    """Where a case's scan and label map go."""
    return f"images{subset}/{case.id}_0000.nii.gz", f"labels{subset}/{case.id}.nii.gz"


def _stale_files(target: Path, dataset: Dataset, jobs: Sequence[_Job]) -> list[Path]:
    """What an earlier export left that this one will not replace.

    nnU-Net trains with all that lies in imagesTr: a case that is for testing now must not stay.
    """
    own = {
        name for case in dataset.cases for subset in ("Tr", "Ts") for name in _files(case, subset)
    }
    wanted: set[str] = set()
    for job in jobs:
        files = _files(job.case, job.subset)
        wanted.update(files if job.case.label is not None else files[:1])
    found = {
        f"{folder}/{path.name}": path
        for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
        for path in sorted((target / folder).glob("[!.]*"))
    }
    strange = [name for name in found if name not in own and name.split("/")[0].endswith("Tr")]
    if strange:
        raise OutputError(
            f"{shown(target)} holds training files of other cases ({listed(strange)}), which "
            "nnU-Net would train with as well; move them away or choose another --id"
        )
    return [path for name, path in found.items() if name in own - wanted]


def _problem(job: _Job, convention: Convention) -> str:
    """What keeps a case from being exported, as a sentence; empty if nothing does."""
    try:
        _read(job.case, convention)
    except InputError as error:
        return str(error)
    return ""


def _refuse(jobs: Sequence[_Job], problems: Sequence[str]) -> None:
    """Name every case that cannot be exported."""
    bad = [f"{j.case.id}: {p}" for j, p in zip(jobs, problems, strict=True) if p]
    if not bad:
        return
    names = [j.case.id for j, p in zip(jobs, problems, strict=True) if p]
    lines = bad[:_EXPLAINED]
    if len(bad) > _EXPLAINED:
        lines.append(f"and {len(bad) - _EXPLAINED} more: {', '.join(names[_EXPLAINED:])}")
    raise InputError(
        f"{len(bad)} of {len(jobs)} cases cannot be exported, so nothing was written; mend them, "
        "or leave them out with a split\n  " + "\n  ".join(lines)
    )


def _read(case: Case, convention: Convention) -> tuple[Scan, Volume | None]:
    """A case's scan, and its labels exactly on the scan's grid."""
    scan = read_scan(case.image)
    if case.label is None:
        return scan, None
    labels = read_label_map(case.label, placed=False)
    strange = sorted({int(v) for v in _values(labels)} - {0, *convention.values.values()})
    if strange:
        raise InputError(
            f"{shown(case.label)} holds {listed(map(str, strange))}, which {convention.value} "
            "lacks; run `renalis dataset check`"
        )
    turned = labels.reoriented(scan.volume.orientation)
    if not scan.volume.same_grid(turned, _TOLERANCE_MM):
        raise InputError(
            f"{shown(case.label)} does not lie on the grid of its scan; run `renalis dataset check`"
        )
    return scan, Volume(turned.array, scan.volume.affine, turned.kind)


def _write_case(job: _Job, target: Path, convention: Convention) -> None:
    """Scan and label map of one case."""
    case = job.case
    image, label = (target / name for name in _files(case, job.subset))
    scan, labels = _read(case, convention)
    check_not_gone(target)
    if scan.source.kind == "nifti" and _packed(case.image):
        with whole_file(image) as file, case.image.open("rb") as source:
            shutil.copyfileobj(source, file)
    else:
        write_volume(image, scan.volume)
    if labels is not None:
        check_not_gone(target)
        write_labels(label, labels, scan, named=False)  # in the data set's own convention


def _packed(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _values(labels: Volume) -> Sequence[int]:
    counts = np.bincount(labels.array.ravel(order="K"), minlength=256)
    found: Sequence[int] = np.flatnonzero(counts).tolist()
    return found


def _dataset_json(
    dataset: Dataset, labels: dict[str, int | list[int]], training: int, regions: bool
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "channel_names": {"0": "CT"},
        "labels": labels,
        "numTraining": training,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
        "description": f"{dataset.name} ({dataset.convention.value} labels), written by renalis",
    }
    if regions:
        content["regions_class_order"] = [1, 3, 2]
    return content
