"""Find the scans in files and folders; headers are read, of single files also voxels."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.archive import FolderFiles, Found, opened_files
from renalis.io.case_names import distinct, study_hash
from renalis.io.itk_header import ENDINGS, detached
from renalis.io.label_maps import label_maps_among, named_label_map
from renalis.io.natural_order import by_number
from renalis.io.nifti_stored import pair_voxels
from renalis.io.patient import hashed
from renalis.io.scan import ScanSource, case_id_from, shown, state_of
from renalis.io.signatures import endings, what_else

__all__ = ["ONE_FILE", "Inventory", "case_ids", "case_named_after", "find_scans", "inventory"]

_MOST_HEADERS = 20_000
"""DICOM slices whose headers are kept between listing and reading, at about 2 kB each."""

ONE_FILE = (".nii", ".nii.gz", ".hdr", *ENDINGS)
"""How the names of files end that hold one scan each."""


@dataclass(frozen=True)
class Inventory:
    """What lies in the inputs.

    Attributes
    ----------
    scans : tuple of ScanSource
        In the order given, with case ids that differ. What cannot be read is listed as well, with
        kind ``"unreadable"`` and the sentence in ``problem``, so that one bad input does not stop
        the others; `read_scan` raises it as InputError.
    remarks : tuple of str
        What was left out, a sentence for each input.
    """

    scans: tuple[ScanSource, ...]
    remarks: tuple[str, ...]


def find_scans(inputs: Iterable[str | os.PathLike[str]]) -> list[ScanSource]:
    """List the scans in files and folders: those of `inventory`."""
    return list(inventory(inputs).scans)


def inventory(inputs: Iterable[str | os.PathLike[str]], anonymous: bool = False) -> Inventory:
    """List the scans in files and folders, and what was left out.

    A folder is searched to any depth: each NIfTI, MetaImage or NRRD file and each zip is a scan,
    and each study of the DICOM files. Files below a folder that hold label maps by their voxels
    are left out (`renalis.io.label_maps`).

    Parameters
    ----------
    inputs : iterable of path-like
        NIfTI, MetaImage or NRRD files, DICOM folders, zips, or folders of those.
    anonymous : bool
        Name cases after a hash of the StudyInstanceUID or of the file's content, not after files
        and folders.

    Returns
    -------
    Inventory
        Scans and remarks.
    """
    found: list[ScanSource] = []
    owns: list[str] = []
    remarks: list[str] = []
    for given in inputs:
        path = Path(given)
        try:
            sources = _in_folder(path, remarks) if path.is_dir() else _in_file(path)
        except InputError as error:
            sources = [_unreadable(path, str(error))]
        except (OSError, ValueError) as error:  # a name too long, or with a null character
            reason = getattr(error, "strerror", None) or str(error)
            sources = [
                _unreadable(path, f"{shown(path)} cannot be read ({reason}); check the path")
            ]
        own = path.absolute().name
        found += [source if source.place else replace(source, place=own) for source in sources]
        owns += [own] * len(sources)
    listed = [source.slice_count + sum(o.slice_count for o in source.others) for source in found]
    if sum(listed) > _MOST_HEADERS:
        found = [replace(source, headers=_only_names(source.headers)) for source in found]
    ids = _anonymous_ids(found) if anonymous else case_ids(found, owns)
    scans = tuple(replace(s, case_id=i) for s, i in zip(found, ids, strict=True))
    if anonymous and remarks:
        remarks = ["label maps or linked folders were left out; they are named without --anonymous"]
    return Inventory(scans, tuple(remarks))


def _only_names(headers: object) -> object:
    from renalis.io.dicom_listing import Listing

    return headers.names() if isinstance(headers, Listing) else headers


def case_ids(found: Sequence[ScanSource], inputs: Sequence[str]) -> list[str]:
    """Different names; equal ones get what tells the scans apart, whatever their order.

    Parameters
    ----------
    found : sequence of ScanSource
        With the names that each would have alone.
    inputs : sequence of str
        For each the name of the input it was found in.
    """
    with_parent, longest = [], []
    for scan, given in zip(found, inputs, strict=True):
        if scan.kind in ("nifti", "itk"):
            # The folder above often tells cases apart when files do not.
            with_parent.append(f"{case_id_from(scan.path.absolute().parent.name)}_{scan.case_id}")
            longest.append(case_id_from(f"{given}_{scan.place}".replace("/", "_")))
        else:
            with_parent.append("")
            code = hashed(scan.study_uid + scan.group)[:8] if scan.study_uid or scan.group else ""
            longest.append(f"{scan.case_id}_{code}" if code else "")
    return distinct([scan.case_id for scan in found], with_parent, longest)


def _anonymous_ids(found: Sequence[ScanSource]) -> list[str]:
    """Names from which nobody learns what files and folders are called."""
    ids = [f"case_{_code(scan)}" for scan in found]
    others = [
        f"{i}_{scan.group[:8]}" if scan.group else "" for i, scan in zip(ids, found, strict=True)
    ]
    return distinct(ids, others)


def _code(scan: ScanSource) -> str:
    """Eight digits that follow from the study's UID, or from the file's content."""
    if scan.study_uid or scan.group:
        return study_hash(scan.study_uid, scan.group)
    voxels = detached(scan.path) if scan.kind == "itk" else pair_voxels(scan.path)
    whole = hashlib.sha256()
    try:
        for path in (scan.path, voxels):
            if path is not None:
                with path.open("rb") as file:
                    whole.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return hashed(scan.place)[:8]  # nothing to be read, so nothing will be written
    return whole.hexdigest()[:8]


def _in_file(path: Path) -> list[ScanSource]:
    """The scans in one file."""
    name = path.name.lower()
    if not path.exists():
        raise InputError(f"{shown(path)} does not exist; check the path")
    if not path.is_file():
        raise InputError(f"{shown(path)} is no file or folder; give a CT as DICOM or NIfTI")
    if name.endswith(ONE_FILE):
        return [_one_file(path)]
    sources = _studies(path)
    if sources:
        # A DICOMDIR stands for its folder.
        return [
            replace(s, place=_joined(path.name if s.path == path else "", s.place)) for s in sources
        ]
    if name.endswith(".zip"):
        with opened_files(path) as files:
            held = endings(files.names())
        if not held:
            raise InputError(f"{shown(path)} is empty; copy or download it again")
        raise InputError(
            f"{shown(path)} holds no DICOM images ({held}); if it holds a scan all the same, "
            "unpack it"
        )
    header = re.sub(r"\.img(\.gz)?$", ".hdr", path.name, flags=re.IGNORECASE)
    if header != path.name and path.with_name(header).is_file():
        return [_one_file(path.with_name(header))]
    raise InputError(_no_format(path))


def _studies(path: Path) -> list[ScanSource]:
    """The studies of DICOM files; pydicom is imported for them alone, not for other formats."""
    from renalis.io.dicom import find_studies

    return find_studies(path)


def _no_format(path: Path) -> str:
    """The sentence for a file that is no scan."""
    with path.open("rb") as file:
        what, advice = what_else(file.read(1024))
    if what:
        return f"{shown(path)} is {what} and no scan; {advice}"
    return (
        f"{shown(path)} is neither NIfTI (.nii, .nii.gz), MetaImage (.mha), NRRD (.nrrd) nor "
        "DICOM; convert it or give another file"
    )


def _in_folder(path: Path, remarks: list[str]) -> list[ScanSource]:
    """The scans below a folder; what was left out is added to the remarks."""
    below = FolderFiles(path).found()
    names = sorted(below.files, key=by_number)
    images = {n for n in names if n.lower().endswith(ONE_FILE) and _may_be_scan(path / n)}
    labels = label_maps_among(sorted(images), path)
    scans = images - labels
    found: list[ScanSource] = []
    for name in names:
        if name in scans:
            found.append(_one_file(path / name, name))
        elif name.lower().endswith(".zip"):
            try:
                inside = _in_file(path / name)
            except InputError as error:
                inside = [_unreadable(path / name, str(error), Path(name).name)]
            above = os.path.dirname(name)
            found += [replace(s, place=_joined(above, s.place)) for s in inside]
    try:
        found += sorted(_studies(path), key=lambda study: by_number(study.place))
    except InputError as error:
        found.append(_unreadable(path, str(error)))
    for name in below.lost:
        link = path / name
        if name.lower().endswith((*ONE_FILE, ".zip")) and not named_label_map(name):
            problem = f"{shown(link)} is a link that leads nowhere; mend or remove it"
            found.append(_unreadable(link, problem, name))
    for name in below.closed:
        problem = f"{shown(path / name)} may not be opened; check who is allowed to read it"
        found.append(_unreadable(path / name, problem, name))
    if not found:
        raise InputError(_no_scan(path, below, sorted(labels)))
    if below.linked:
        some = f"{len(below.linked)} linked folder{'s' if len(below.linked) > 1 else ''}"
        remarks.append(
            f"{shown(path)}: {some} ({shown(below.linked[0])}) not followed; give them themselves"
        )
    if labels:
        remarks.append(f"{shown(path)}: {_counted(sorted(labels))} left out")
    return found


def _may_be_scan(path: Path) -> bool:
    """False for a ``.hdr`` that heads no NIfTI or ANALYZE file: other programs use the ending."""
    if path.suffix.lower() != ".hdr":
        return True
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError:
        return True  # so that it is named
    return any(int.from_bytes(start, order) in (348, 540) for order in ("little", "big"))


def _no_scan(path: Path, below: Found, labels: list[str]) -> str:
    """The sentence for a folder without any scan."""
    if labels:
        return (
            f"{shown(path)} holds no CT scan but {_counted(labels)}; give the folder with the scans"
        )
    if below.linked and not below.files:
        return (
            f"{shown(path)} holds only links to folders ({shown(below.linked[0])}), which are not "
            "followed; give those folders themselves"
        )
    what = f"holds no CT scan ({endings(below.files)})" if below.files else "is empty"
    return f"{shown(path)} {what}; give a folder with DICOM or NIfTI files"


def _counted(labels: list[str]) -> str:
    """Label maps, one of them by its name."""
    if len(labels) == 1:
        return f"a label map ({shown(labels[0])})"
    return f"{len(labels)} label maps ({shown(labels[0])} and others)"


def _joined(above: str, below: str) -> str:
    return f"{above}/{below}" if above and below else above or below


def _one_file(path: Path, place: str = "") -> ScanSource:
    """A file that holds one scan."""
    kind, voxels = "nifti", None
    if path.name.lower().endswith(ENDINGS):
        kind, voxels = "itk", detached(path)
    elif path.suffix.lower() == ".hdr":
        voxels = pair_voxels(path)
    return ScanSource(case_named_after(path), path, kind, place=place, state=state_of(voxels))


def case_named_after(path: Path) -> str:
    """The name of a file's case; KiTS names folders after cases and all files imaging.nii.gz."""
    generic = case_id_from(path.name) == "imaging"
    return case_id_from(path.absolute().parent.name if generic else path.name)


def _unreadable(path: Path, problem: str, place: str = "") -> ScanSource:
    name = path.absolute().name
    return ScanSource(case_id_from(name), path, "unreadable", problem=problem, place=place)
