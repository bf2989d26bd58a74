"""List the DICOM studies in a place and read a stack as a scan."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.archive import FileSet, opened_files
from renalis.io.dicom_files import Frame, frames_of
from renalis.io.dicom_geometry import Grid, grid_of, normal_of
from renalis.io.dicom_pixels import voxels_of
from renalis.io.dicom_series import Stack, choose, rank_of, stacks_of, summary
from renalis.io.hu import check_hu
from renalis.io.patient import hashed, tells_patient
from renalis.io.scan import Scan, ScanSource, SourceSlice, case_id_from, distinct, shown
from renalis.volume import Volume

__all__ = ["find_studies", "has_series", "read_dicom"]


@dataclass(frozen=True)
class _Listing:
    """All headers in a place, and the DICOM files whose headers cannot be read."""

    frames: tuple[Frame, ...]
    damaged: tuple[str, ...]


def _listed(files: FileSet, names: Sequence[str] | None = None) -> _Listing:
    """Read the headers of all files."""
    frames: list[Frame] = []
    damaged: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on values that are not read here
        for name in files.names() if names is None else names:
            try:
                with files.open(name) as stream:
                    frames += frames_of(stream, name) or []
            except (InputError, MemoryError, zipfile.BadZipFile):
                raise
            except Exception:  # pydicom raises whatever a damaged file provokes
                damaged.append(name)
    return _Listing(tuple(frames), tuple(damaged))


def find_studies(path: Path) -> list[ScanSource]:
    """One source per study in a folder, zip or file, with the chosen series named.

    Parameters
    ----------
    path : Path
        Folder (searched to any depth), zip, or one DICOM file.

    Returns
    -------
    list of ScanSource
        Empty if there is no DICOM file. A study without a readable CT has kind
        ``"unreadable"`` and its sentence in ``problem``.

    Raises
    ------
    InputError
        If the folder or zip cannot be read at all.
    """
    with opened_files(path) as files:
        listing = _listed(files)
    studies: dict[tuple[str, str], list[Frame]] = {}
    for frame in listing.frames:
        studies.setdefault(_study_of(frame), []).append(frame)
    if not studies and listing.damaged:
        raise InputError(
            f"{shown(path)} holds no DICOM file that can be read ({len(listing.damaged)} are "
            "damaged or cut short); copy the scan again"
        )
    # By UID, and where UIDs are equal or missing in the order of the files.
    groups = [group for _, group in sorted(studies.items(), key=lambda item: item[0][0])]
    ids = _case_ids(path, groups)
    return [
        replace(
            _source(path, i, group),
            headers=_Listing(tuple(group), listing.damaged),
            state=_state(path, group),
        )
        for i, group in zip(ids, groups, strict=True)
    ]


def _state(path: Path, frames: Sequence[Frame]) -> str:
    """A hash that changes when a file of a study in a folder is written anew."""
    if not path.is_dir():
        return ""
    found = []
    for name in sorted({frame.file for frame in frames}):
        status = (path / name).stat()
        found.append(f"{name}/{status.st_size}/{status.st_mtime_ns}")
    return hashed("\n".join(found))


def _study_of(frame: Frame) -> tuple[str, str]:
    """StudyInstanceUID, and what tells apart patients to whom a bad export gave the same one."""
    tags = frame.series
    top = frame.file.split("/")[0] if not tags.study and "/" in frame.file else ""
    return tags.study, hashed(f"{tags.owner}/{top}")[:16]


def _case_ids(path: Path, studies: Sequence[Sequence[Frame]]) -> list[str]:
    """The place's name for one study; names of subfolders, where each holds one study."""
    own = case_id_from(path.absolute().name)
    if len(studies) == 1:
        ids = [own]
    else:
        tops = [{f.file.split("/")[0] for f in study if "/" in f.file} for study in studies]
        alone = [len(t) == 1 and sum(bool(t & other) for other in tops) == 1 for t in tops]
        use = path.is_dir() and all(alone)
        ids = [case_id_from(min(t)) if use else f"{own}_{n}" for n, t in enumerate(tops, 1)]
    return distinct(
        [_without_names(i, s) for i, s in zip(ids, studies, strict=True)], [""] * len(ids)
    )


def _without_names(case_id: str, frames: Sequence[Frame]) -> str:
    """Another id where the folder is named after the patient, as exports to a disc often are."""
    if tells_patient(case_id, frames[0].series.patient):
        return f"case_{hashed(frames[0].series.study)[:8]}"
    return case_id


def _source(path: Path, case_id: str, frames: Sequence[Frame]) -> ScanSource:
    """Choose a series by the headers; problems are kept for `read_dicom` to raise."""
    stacks = stacks_of(frames)
    study, group = _study_of(frames[0])
    try:
        stack, remarks = choose(stacks, None, shown(path))
    except InputError as error:
        return ScanSource(
            case_id, path, "unreadable", study_uid=study, group=group, problem=str(error)
        )
    return _described(path, case_id, stacks, stack, remarks)


def _described(
    path: Path, case_id: str, stacks: Sequence[Stack], stack: Stack, remarks: Sequence[str]
) -> ScanSource:
    pairs = zip(stacks, remarks, strict=True)
    return ScanSource(
        case_id=case_id,
        path=path,
        kind="dicom",
        modality=stack.tags.modality,
        series=summary(stack),
        others=tuple(summary(s, remark) for s, remark in pairs if s is not stack),
        study_uid=stack.tags.study,
        group=_study_of(stack.frames[0])[1],
        rank=rank_of(stack),
    )


def _frames_of_study(source: ScanSource, files: FileSet) -> tuple[list[Frame], int]:
    """Headers of a source's study, and how many DICOM files in its place are damaged."""
    kept = source.headers
    listing = kept if isinstance(kept, _Listing) else _listed(files)
    frames = [f for f in listing.frames if f.series.study == source.study_uid]
    if source.group:
        frames = [f for f in frames if _study_of(f)[1] == source.group]
    return frames, len(listing.damaged)


def has_series(source: ScanSource, series: str) -> bool:
    """Whether exactly one series of a source's study is meant by ``series`` and can be read."""
    with opened_files(source.path) as files:
        frames, _ = _frames_of_study(source, files)
    try:
        choose(stacks_of(frames), series, shown(source.path))
    except InputError:
        return False
    return True


def read_dicom(source: ScanSource, series: str | None = None) -> Scan:
    """Read the study of a source.

    Parameters
    ----------
    source : ScanSource
        From `find_studies`; only its path, case id, study, group and, if kept, headers are used.
    series : str or None
        UID, number or description of the series wanted; None chooses.

    Returns
    -------
    Scan
        Volume of int16 HU, axes (column, row, slice); affine as PS3.3 C.7.6.2.1.1 defines it.

    Raises
    ------
    InputError
        If there is no such series, no CT, or a file of it is damaged.
    """
    place = shown(source.path)
    with opened_files(source.path) as files:
        frames, damaged = _frames_of_study(source, files)
        if not frames:
            raise InputError(f"{place} holds no DICOM images; give a CT as DICOM or NIfTI")
        stacks = stacks_of(frames)
        stack, remarks = choose(stacks, series, place)
        series_name = f"{place}, {summary(stack)}"
        try:
            grid = grid_of(stack.frames)
            hu = voxels_of(grid, files)
            volume = Volume(hu, grid.affine)
        except ValueError as error:
            raise InputError(
                f"{series_name} is no volume: {error}; give the whole series of axial slices"
            ) from error
    found = _described(source.path, source.case_id, stacks, stack, remarks)
    found = replace(found, slices=_slices(grid))
    # No path: these sentences are kept with the result, and folders are named after patients.
    name = f"{source.case_id}, {summary(stack)}"
    notes = [*grid.warnings, *check_hu(hu.ravel(order="F"), series_name)]
    notes += _doubts(stack, stacks, series)
    notes = [f"{name}: {text}" for text in notes]
    if damaged:
        notes.append(
            f"{source.case_id}: {damaged} damaged DICOM file{'s' if damaged > 1 else ''} in the "
            "same place left out"
        )
    return Scan(source.case_id, volume, found, tuple(notes))


def _slices(grid: Grid) -> tuple[SourceSlice, ...]:
    return tuple(
        SourceSlice(
            file=f.file,
            frame=f.frame,
            place=float(place),
            position=(f.position[0], f.position[1], f.position[2]),
            sop_class_uid=f.sop_class,
            sop_instance_uid=f.sop_instance,
        )
        for f, place in zip(grid.frames, grid.places, strict=True)
    )


def _doubts(stack: Stack, stacks: Sequence[Stack], series: str | None) -> list[str]:
    """What the reader of the result should know about the choice of this series."""
    notes = []
    rest = [s for s in stacks if s.tags.uid == stack.tags.uid and s is not stack]
    same = [s for s in rest if not s.barred]
    for bad in (s for s in rest if s.barred.startswith("damaged")):
        notes.append(f"{len(bad.frames)} of its slices left out ({bad.barred})")
    if same and series != stack.name:
        notes.append(
            f"the series holds {len(same) + 1} stacks of slices (sizes, directions or "
            f"phases); choose another one with series {', '.join(s.name for s in same)}"
        )
    if any(not f.has_intercept for f in stack.frames):
        notes.append("no RescaleIntercept, so values may not be HU")
    if abs(normal_of(stack.frames[0])[2]) <= 0.8:
        notes.append("the slices are not axial")
    if stack.frames[0].doubt:
        notes.append(stack.frames[0].doubt)
    return notes
