"""A patient whose identifiers are planted wherever a scan has room for them, and found again."""

from __future__ import annotations

import base64
import gzip
import io
import re
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset

from helpers.dicom_writer import write_series

PLANTED = {
    "name": "Zwiebelfisch",
    "given name": "Ottokar",
    "id": "QX774401993",
    "birth date": "19310719",
    "accession": "ACC5510377",
    "physician": "Krautwickel",
    "referrer": "Sauerampfer",
    "operator": "Pumpernickel",
    "institution": "Klinikum Hintertupfing",
    "address": "Rübenweg 17",
    "study id": "STU88213",
    "study UID": "1.2.826.0.1.3680043.9.7777.1.661",
    "series UID": "1.2.826.0.1.3680043.9.7777.2.662",
    "image UID": "1.2.826.0.1.3680043.9.7777.3",
    "frame UID": "1.2.826.0.1.3680043.9.7777.4.664",
    "serial": "SN4471182",
    "station": "SCANNERKELLER3",
    "private": "PrivatesGeheimnis",
    "comment": "Kommentarzeile mit Lebenslauf",
    "description": "Beschreibung Wurzelsepp",
    "protocol": "Protokoll Wurzelsepp",
    "history": "Vorgeschichte Gallenstein",
    "folder": "Ordner_Wunderlich",
    "file": "Datei-Wunderlich",
    "NIfTI description": "Niftibeschreibung",
    "NIfTI aux file": "Niftihilfsdatei",
    "NIfTI intent": "Niftiabsicht",
}
"""What is planted: no two alike, none a word of the program's."""


def planted_series(parent: Path, hu: np.ndarray, **how: Any) -> Path:
    """Write a series of the patient, below a folder that names them; returns the input folder.

    Parameters
    ----------
    hu : ndarray, shape (slices, rows, columns), int16
        Voxels.
    """
    p = PLANTED

    def plant(data: Dataset, index: int) -> None:
        data.SpecificCharacterSet = "ISO_IR 192"
        data.PatientName = f"{p['name']}^{p['given name']}"
        data.PatientID, data.PatientBirthDate = p["id"], p["birth date"]
        data.PatientSex, data.PatientAge, data.StudyID = "M", "089Y", p["study id"]
        data.OtherPatientIDs = p["id"]
        data.AccessionNumber = p["accession"]
        data.ReferringPhysicianName = p["referrer"]
        data.PerformingPhysicianName = p["physician"]
        data.OperatorsName = p["operator"]
        data.InstitutionName, data.InstitutionAddress = p["institution"], p["address"]
        data.StudyInstanceUID, data.SeriesInstanceUID = p["study UID"], p["series UID"]
        data.SOPInstanceUID = f"{p['image UID']}.{index}"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.FrameOfReferenceUID = p["frame UID"]
        data.DeviceSerialNumber, data.StationName = p["serial"], p["station"]
        data.PatientComments = data.ImageComments = p["comment"]
        data.StudyDescription = data.SeriesDescription = p["description"]
        data.ProtocolName, data.AdditionalPatientHistory = p["protocol"], p["history"]
        block = data.private_block(0x0009, p["private"], create=True)
        block.add_new(0x01, "LO", p["private"])

    folder = parent / "scans" / f"{p['folder']}_{p['name']}" / p["id"]
    write_series(
        folder, hu, change=plant, name=f"{p['file']} {p['given name']} {{:04d}}.dcm", **how
    )
    return parent / "scans"


def planted_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """Write a scan whose header has identifiers, to a path of any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array.astype(np.int16), affine)
    image.header.set_xyzt_units("mm")
    for field, name in (("descrip", "NIfTI description"), ("aux_file", "NIfTI aux file"),
                        ("intent_name", "NIfTI intent"), ("db_name", "file")):  # fmt: skip
        image.header[field] = PLANTED[name].encode()
    image.header.extensions.append(
        nib.nifti1.Nifti1Extension("comment", PLANTED["comment"].encode())
    )
    nib.save(image, path)
    return path


def found_in(place: Path | bytes | str) -> dict[str, set[str]]:
    """What is planted and stands somewhere, by what it is: in which files.

    Looked through are names, bytes, and what is packed in them: gzip, zip, zlib streams of PDF and
    PNG, base64 in pages; text in UTF-8, UTF-16 and Latin-1, also percent-encoded.
    """
    if isinstance(place, str):
        place = place.encode()
    whole = isinstance(place, bytes)
    items = [("text", place)] if isinstance(place, bytes) else list(_files(place))
    found: dict[str, set[str]] = {}
    for name, content in items:
        layers = [content if whole else content + b"\n" + name.encode(), *_unpacked(content, 4)]
        for layer in layers:
            low = layer.lower()
            for what, word in PLANTED.items():
                if any(form in low for form in _forms(word)):
                    found.setdefault(what, set()).add(name)
    return found


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _forms(word: str) -> set[bytes]:
    low = word.lower()
    texts = {low, urllib.parse.quote(low), low.replace(" ", "_"), low.replace(" ", "&#32;"),
             low.encode("ascii", "backslashreplace").decode()}  # fmt: skip
    plain = {text.encode() for text in texts}
    return plain | {low.encode("utf-16-le"), low.encode("utf-16-be"), low.encode("latin-1")}


def _unpacked(content: bytes, depth: int) -> Iterator[bytes]:
    """All that is packed within, to some depth."""
    if not depth:
        return
    parts: list[bytes] = []
    if content[:2] == b"\x1f\x8b":
        parts.append(gzip.decompress(content))
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts += [
                member.filename.encode() + archive.read(member) for member in archive.filelist
            ]
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        parts += _inflated(match[1])
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        at = 8
        while at + 8 <= len(content):
            size = int.from_bytes(content[at : at + 4], "big")
            kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
            if kind in (b"zTXt", b"iTXt", b"iCCP"):
                parts += _inflated(data[data.find(b"\0") + 2 :])
            at += size + 12
    if b"base64," in content:
        for match in re.finditer(rb"base64,([A-Za-z0-9+/=]+)", content):
            parts.append(base64.b64decode(match[1]))
    for part in parts:
        yield part
        yield from _unpacked(part, depth - 1)


def _inflated(data: bytes) -> list[bytes]:
    try:
        return [zlib.decompressobj().decompress(data)]
    except zlib.error:
        return []
