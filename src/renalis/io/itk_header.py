"""What a MetaImage or NRRD header says that ITK does not tell: where the voxels are, and its words.

ITK opens whatever file a header names, an absolute path too, so this is looked at before ITK is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from renalis.errors import InputError
from renalis.io.scan import shown
from renalis.io.signatures import what_else

__all__ = ["ENDINGS", "ItkHeader", "detached", "read_header"]

ENDINGS = (".mha", ".mhd", ".nrrd", ".nhdr")
"""MetaImage and NRRD, in one file and with voxels in another."""

_LONGEST = 1 << 20  # bytes of a header; Slicer keeps long descriptions in it
_NRRD = re.compile(r"NRRD000[1-6]")
_NRRD_DATA = re.compile(rb"^[ \t]*data[ \t]*file[ \t]*:", re.IGNORECASE | re.MULTILINE)
_META_DATA = re.compile(rb"ElementDataFile", re.IGNORECASE)
_SIZES = r"[1-9]\d{0,8}(\s+[1-9]\d{0,8})*"
_NUMBER = r"[-+]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40}|nan|inf)(?:e[-+]?\d{1,4})?"
_NUMBERS = rf"{_NUMBER}(\s+{_NUMBER}){{0,24}}\s*"
_VECTOR = rf"(none|\(\s*{_NUMBER}\s*(,\s*{_NUMBER}\s*){{0,4}}\))"
_VECTORS = rf"{_VECTOR}(\s*{_VECTOR}){{0,4}}\s*"
_QUOTED = r'("[^"]{0,60}"|[^\s"]{1,40})(\s*("[^"]{0,60}"|\s[^\s"]{1,40})){0,4}\s*'
_META_WORDS = {
    "ndims": r"[1-5]",
    "dimsize": _SIZES,
    "elementtype": r"MET_U?(CHAR|SHORT|INT|LONG|LONG_LONG)|MET_(FLOAT|DOUBLE)",
    "elementnumberofchannels": r"[1-9]\d?",
    "compresseddatasize": r"\d{1,15}",
    "headersize": r"-?\d{1,12}",
    **dict.fromkeys(("offset", "position", "origin", "centerofrotation"), _NUMBERS),
    **dict.fromkeys(("transformmatrix", "rotation", "orientation"), _NUMBERS),
    **dict.fromkeys(("elementspacing", "elementsize", "elementmin", "elementmax"), _NUMBERS),
    "anatomicalorientation": r"\S{1,10}",
}
_NRRD_WORDS = {
    "dimension": r"[1-5]",
    "sizes": _SIZES,
    "type": r"(un)?signed (char|short|short int|int|long long|long long int)|u?char|short|short int"
    r"|u?short|unsigned short int|u?int|(long long|u?longlong|long long int)|float|double"
    r"|u?int(8|16|32|64)(_t)?",
    "encoding": r"raw|gz|gzip|txt|text|ascii|hex|bz2|bzip2",
    "endian": r"little|big",
    "space": r".{1,60}",
    **dict.fromkeys(("kinds", "centers", "centerings"), r"\S{1,40}(\s+\S{1,40}){0,15}\s*"),
    **dict.fromkeys(("spacedirections", "spaceorigin", "measurementframe"), _VECTORS),
    **dict.fromkeys(("spacings", "thicknesses", "axismins", "axismaxs"), _NUMBERS),
    **dict.fromkeys(("units", "labels", "spaceunits"), _QUOTED),
    "byteskip": r"-?\d{1,12}",
    "lineskip": r"\d{1,9}",
}
"""How the values of fields look that decide what ITK reads; the first two are axes and sizes."""
_PATTERN = re.compile(r"%\d*d|\s\d+\s+\d+")


@dataclass(frozen=True)
class ItkHeader:
    """The header of a file.

    Parameters
    ----------
    nrrd : bool
        NRRD, or else MetaImage.
    fields : mapping
        Values by field, in small letters, of NRRD without spaces.
    data : Path
        The file that holds the voxels.
    offset : int
        Where they begin in it at the earliest.
    """

    nrrd: bool
    fields: Mapping[str, str]
    data: Path
    offset: int

    @property
    def packed(self) -> bool:
        """Whether the voxels may take less room than they have bytes."""
        if self.nrrd:
            return self.fields.get("encoding", "raw").lower() != "raw"
        return self.fields.get("compresseddata", "false").lower() == "true"


def read_header(path: Path) -> ItkHeader:
    """Read a header and find its voxels.

    Raises
    ------
    InputError
        If it is none, or its voxels are in several files, missing, or outside of its folder.
    """
    name = shown(path)
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name} cannot be read ({reason}); check the path") from error
    nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    fields, place, offset = _nrrd(start, name) if nrrd else _meta_image(start, name)
    _check_words(fields, _NRRD_WORDS if nrrd else _META_WORDS, name)
    if place is None:
        return ItkHeader(nrrd, fields, path, offset)
    return ItkHeader(nrrd, fields, _inside(path, place), 0)


def detached(path: Path) -> Path | None:
    """The file next to a header that holds its voxels; None if they are in one file or missing."""
    try:
        data = read_header(path).data
    except InputError:
        return None
    return None if data == path else data


def _nrrd(start: bytes, name: str) -> tuple[dict[str, str], str | None, int]:
    """Fields, the detached file if any, and the header's length (teem.sf.net/nrrd/format.html)."""
    end = re.search(rb"\r?\n\r?\n", start)
    text = (start[: end.start()] if end else start).decode("utf-8", "replace")
    first, *lines = text.splitlines() or [""]
    if not _NRRD.match(first):
        raise _not_a("NRRD", start, name)
    fields: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or line.startswith("#") or value.startswith("="):
            continue  # a comment, or a key of whoever wrote it
        _add(fields, re.sub(r"\s", "", key).lower(), value.strip(), name)
    place = fields.get("datafile")
    if len(_NRRD_DATA.findall(start)) != (place is not None):
        raise _two_places(name)
    if place is None and end is None:
        raise InputError(f"{name} is cut short: its header does not end; copy it again")
    return fields, place, end.end() if end else len(start)


def _meta_image(start: bytes, name: str) -> tuple[dict[str, str], str | None, int]:
    """Fields, the detached file if any, and the header's length."""
    found = _META_DATA.findall(start)
    if len(found) > 1:
        raise _two_places(name)
    fields: dict[str, str] = {}
    place = 0
    for raw in start.splitlines(keepends=True):
        place += len(raw)
        match = re.match(r"\s*([^=:]+?)\s*[=:](.*)", raw.decode("utf-8", "replace"))
        if match is None:
            continue
        if match[1] == "ElementDataFile":
            where = match[2].strip()
            return fields, None if where.upper() == "LOCAL" else where, place
        _add(fields, match[1].lower(), match[2].strip(), name)
    raise _not_a("MetaImage", start, name)


def _add(fields: dict[str, str], key: str, value: str, name: str) -> None:
    """Add a field; of those that say how large the image is, two readers may take another one."""
    before = fields.setdefault(key, value)
    if before != value and key in {*_META_WORDS, *_NRRD_WORDS}:
        raise InputError(f"{name} says {key} twice and differently; save it again")


def _check_words(fields: Mapping[str, str], words: Mapping[str, str], name: str) -> None:
    """Refuse what no program writes before ITK sees it: it takes headers at their word.

    Of 65536 axes, values of a type that it does not know, a space's name of 130 letters, or a long
    word where it expects numbers, it crashes with the whole program.
    """
    for key, form in words.items():
        if key in fields and not re.fullmatch(form, fields[key], re.IGNORECASE):
            raise InputError(
                f"{name} has a damaged header ({key}: {shown(fields[key], 40)}); save it again, "
                "best as .nii.gz"
            )
    axes, sizes = (fields.get(key) for key in list(words)[:2])
    if axes is None or sizes is None or len(sizes.split()) != int(axes):
        raise InputError(f"{name} does not say how large it is; save it again, best as .nii.gz")


def _not_a(kind: str, start: bytes, name: str) -> InputError:
    what, advice = what_else(start[:1024])
    but = f" but {what}; {advice}" if what else "; give the scan as .mha, .nrrd or .nii.gz"
    return InputError(f"{name} is no {kind} file{but}")


def _two_places(name: str) -> InputError:
    # Which of them ITK would take is not for a guess: it may lie anywhere on this machine.
    return InputError(
        f"{name} names the place of its voxels more than once or in an unusual way; save it again, "
        "best as .nii.gz"
    )


def _inside(path: Path, place: str) -> Path:
    """The detached file, which may not lie anywhere else than below its header's folder."""
    name, said = shown(path), shown(place, 60)
    if place.upper().startswith("LIST") or _PATTERN.search(place):
        raise InputError(
            f"{name} has its voxels in several files ({said}); save it as one .nrrd, .mha or "
            ".nii.gz file"
        )
    folder = path.absolute().parent.resolve()
    try:
        data = (folder / place).resolve()
        found = data.is_file()
    except (OSError, ValueError):
        data, found = folder, False
    if Path(place).is_absolute() or not data.is_relative_to(folder):
        raise InputError(
            f"{name} has its voxels outside of its folder ({said}); put both files into one "
            "folder, or save it as one .nrrd, .mha or .nii.gz file"
        )
    if not found:
        raise InputError(
            f"{name} has its voxels in {said}, which is not there; copy that file as well"
        )
    return data
