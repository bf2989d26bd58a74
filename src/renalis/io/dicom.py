"""List the DICOM studies in a place and read a stack as a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.archive import FileSet, ZipFiles, folder_of, opened_files
from renalis.io.case_names import Study, study_names
from renalis.io.dicom_files import Frame
from renalis.io.dicom_geometry import Grid, grid_of, normal_of
from renalis.io.dicom_listing import Listing, StudyFiles, listed
from renalis.io.dicom_pixels import voxels_of
from renalis.io.dicom_series import Stack, choose, rank_of, stacks_of, summary
from renalis.io.dicom_spacing import spacing_doubts
from renalis.io.patient import hashed
from renalis.io.scan import Scan, ScanSource, SourceSlice, case_id_from, shown
from renalis.io.series_list import SCRAP, grouped
from renalis.volume import Volume

__all__ = ["find_studies", "has_series", "read_dicom", "study_of"]


def find_studies(path: Path) -> list[ScanSource]:
    """One source per study in a folder, zip or file, with the chosen series named.

    Parameters
    ----------
    path : Path
        Folder (searched to any depth), zip, or one DICOM file. A DICOMDIR stands for its folder.

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
        listing = listed(files)
    if listing.indexes and path.is_file() and not isinstance(files, ZipFiles):
        return find_studies(path.absolute().parent)
    listing.check_images(path)
    studies: dict[tuple[str, str], list[Frame]] = {}
    for frame in listing.frames:
        studies.setdefault(study_of(frame), []).append(frame)
    # By UID, and where UIDs are equal or missing in the order of the files.
    groups = [group for _, group in sorted(studies.items(), key=lambda item: item[0][0])]
    ids = study_names(
        case_id_from(path.absolute().name),
        [Study(*study_of(g[0]), g[0].series.patient, {f.file for f in g}) for g in groups],
    )
    return [
        replace(
            _source(path, i, group),
            headers=listing.of(group),
            state=_state(path, group),
        )
        for i, group in zip(ids, groups, strict=True)
    ]


def _state(path: Path, frames: Sequence[Frame]) -> str:
    """A hash that changes when a CT image of a study in a folder is written anew.

    What is made from the images does not make them others, such as a segmentation that is written
    into the study's own folder.
    """
    if not path.is_dir():
        return ""
    found = []
    images = [frame for frame in frames if frame.series.modality in ("", "CT")]
    for name in sorted({frame.file for frame in images or frames}):
        status = (path / name).stat()
        found.append(f"{name}/{status.st_size}/{status.st_mtime_ns}")
    return hashed("\n".join(found))


def study_of(frame: Frame) -> tuple[str, str]:
    """StudyInstanceUID, and what tells apart patients to whom a bad export gave the same one."""
    tags = frame.series
    top = frame.file.split("/")[0] if not tags.study and "/" in frame.file else ""
    return tags.study, hashed(f"{tags.owner}/{top}")[:16]


def _source(path: Path, case_id: str, frames: Sequence[Frame]) -> ScanSource:
    """Choose a series by the headers; problems are kept for `read_dicom` to raise."""
    stacks = stacks_of(frames)
    study, group = study_of(frames[0])
    try:
        stack, remarks = choose(stacks, None, _shown_place(path, frames))
    except InputError as error:
        return ScanSource(
            case_id,
            path,
            "unreadable",
            study_uid=study,
            group=group,
            problem=str(error),
            place=folder_of(f.file for f in frames),
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
        others=tuple(grouped([summary(s, remark) for s, remark in pairs if s is not stack])),
        study_uid=stack.tags.study,
        group=study_of(stack.frames[0])[1],
        owner=stack.tags.owner,
        place=folder_of(f.file for s in stacks for f in s.frames),
        rank=rank_of(stack),
    )


def _shown_place(path: Path, frames: Sequence[Frame]) -> str:
    """The folder of a study's files, for messages: a folder of many studies names none of them."""
    folder = folder_of(f.file for f in frames)
    if not folder:
        return shown(path)
    return shown(path / folder) if path.is_dir() else f"{shown(path)} ({shown(folder)})"


def _of_study(source: ScanSource, files: FileSet) -> Listing:
    """Headers of a source's study, and what else was met in its place."""
    kept = source.headers
    if isinstance(kept, Listing):
        listing = kept
    else:
        listing = listed(files, kept if isinstance(kept, StudyFiles) else None)
    frames = [f for f in listing.frames if f.series.study == source.study_uid]
    if source.group:
        frames = [f for f in frames if study_of(f)[1] == source.group]
    return listing.of(frames)


def has_series(source: ScanSource, series: str) -> bool:
    """Whether exactly one series of a source's study is meant by ``series`` and can be read."""
    with opened_files(source.path) as files:
        frames = _of_study(source, files).frames
    try:
        choose(stacks_of(frames), series, _shown_place(source.path, frames))
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
        listing = _of_study(source, files)
        if not listing.frames:
            raise InputError(f"{place} holds no DICOM images; give a CT as DICOM or NIfTI")
        place = _shown_place(source.path, listing.frames)
        stacks = stacks_of(listing.frames)
        stack, remarks = choose(stacks, series, place)
        series_name = f"{place}, {summary(stack)}"
        _check_alone(stack, stacks, series_name)
        try:
            grid = grid_of(stack.frames)
            hu, doubts = voxels_of(grid, files, series_name)
            doubts = [*spacing_doubts(grid, series_name), *doubts]
            volume = Volume(hu, grid.affine)
        except ValueError as error:
            raise InputError(
                f"{series_name} is no volume: {error}; give the whole series of axial slices"
            ) from error
    found = _described(source.path, source.case_id, stacks, stack, remarks)
    found = replace(found, slices=_slices(grid), place=source.place)
    # No path: these sentences are kept with the result, and folders are named after patients.
    name = f"{source.case_id}, {summary(stack)}"
    notes = [*grid.warnings, *doubts]
    notes += _doubts(stack, stacks, series)
    notes = [f"{name}: {text}" for text in notes]
    notes += [f"{source.case_id}: {text}" for text in listing.remarks()]
    return Scan(source.case_id, volume, found, tuple(notes))


def _check_alone(stack: Stack, stacks: Sequence[Stack], name: str) -> None:
    """Refuse a single slice among other single slices, which an export may have torn apart."""
    alone = sum(len(s.frames) == 1 and not s.barred for s in stacks)
    if len(stack.frames) == 1 and alone > 2:
        raise InputError(
            f"{name} is no volume: it has only one slice, and so have {alone - 1} other series "
            "here; if they belong together, export them again as one series"
        )


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
    same = [s for s in rest if not s.barred and len(s.frames) > SCRAP]
    scraps = sum(len(s.frames) for s in rest if not s.barred and len(s.frames) <= SCRAP)
    if scraps:
        notes.append(f"{scraps} of its images that belong to no volume (bolus tracking?) left out")
    for bad in (s for s in rest if s.frames[0].lost):
        notes.append(f"{len(bad.frames)} of its slices left out ({bad.barred})")
    notes += dict.fromkeys(text for f in stack.frames for text in f.mended)
    copies = sum(f.copies > 0 for f in stack.frames)
    if copies:
        notes.append(f"{copies} of its images lie there more than once; one copy of each was read")
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
    if stack.tags.child:
        notes.append("by the header the patient is a child, and the model learned from adults")
    return notes
