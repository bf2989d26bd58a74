"""DICOM series: elements with values, lengths and encodings that no scanner writes."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pydicom
from helpers.dicom_writer import body, ct_slice, write_enhanced
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS, changed_bytes
from fuzzing.streams import changed_streams
from renalis.io import find_scans, read_scan

__all__ = ["changed_dataset", "series_seeds", "target", "to_bytes"]

_NUMBERS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel",
)  # fmt: skip
_WORDS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "InstanceNumber", "NumberOfFrames", "SliceLocation",
    "SliceThickness", "SpacingBetweenSlices", "SeriesNumber", "SeriesDescription", "PatientName",
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID",
    "Modality", "ImageType", "AcquisitionTime", "ConvolutionKernel", "PhotometricInterpretation",
    "SpecificCharacterSet", "PixelPaddingValue", "PatientPosition", "PatientBirthDate",
)  # fmt: skip
_SYNTAXES = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.5", "1.2.3", "", "x",
)  # fmt: skip


def to_bytes(data: Dataset, strict: bool = False) -> bytes:
    """A data set as a file, whatever is wrong with it."""
    out = io.BytesIO()
    if strict:
        pydicom.dcmwrite(out, data, enforce_file_format=True)
        return out.getvalue()
    implicit, little = data.original_encoding
    if implicit is None or little is None:
        syntax = data.file_meta.TransferSyntaxUID
        implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    pydicom.dcmwrite(out, data, implicit_vr=implicit, little_endian=little,
                     force_encoding=True, enforce_file_format=False)  # fmt: skip
    return out.getvalue()


def series_seeds() -> dict[str, list[bytes]]:
    """Small series in the encodings that are read, each as files."""
    hu = (body(4, 32, 32) // 2).astype(np.int16)

    def images(recode: Callable[[Any], None] | None = None) -> list[bytes]:
        found = []
        for index, image in enumerate(hu):
            data = ct_slice(image, (-100, -80, 20 + 3 * index), InstanceNumber=index + 1)
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{index}"
            if recode:
                recode(data)
            found.append(to_bytes(data, strict=True))
        return found

    def syntax(uid: str) -> Callable[[Any], None]:
        def recode(data: Any) -> None:
            data.file_meta.TransferSyntaxUID = uid
            if uid == ExplicitVRBigEndian:
                data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()

        return recode

    def packed(uid: Any) -> Callable[[Any], None]:
        return lambda data: data.compress(uid, generate_instance_uid=False)

    found = {
        "explicit": images(),
        "implicit": images(syntax(ImplicitVRLittleEndian)),
        "big endian": images(syntax(ExplicitVRBigEndian)),
        "deflated": images(syntax(DeflatedExplicitVRLittleEndian)),
        "RLE": images(packed(RLELossless)),
        "JPEG-LS": images(packed(JPEGLSLossless)),
        "JPEG 2000": images(packed(JPEG2000Lossless)),
    }
    for name, process in (("JPEG lossless", 6), ("JPEG lossless 14", 5)):
        found[name] = [_by_gdcm(image, process) for image in found["explicit"]]
    return found


def _by_gdcm(content: bytes, process: int) -> bytes:
    """The same image with JPEG's lossless processes, which pydicom does not write."""
    import tempfile

    import gdcm

    syntaxes = {5: gdcm.TransferSyntax.JPEGLosslessProcess14,
                6: gdcm.TransferSyntax.JPEGLosslessProcess14_1}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        path.write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntaxes[process]))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return path.read_bytes()


def _raw(data: Dataset, tag: str, rng: Random) -> str:
    """A value that pydicom would not let anyone set, by way of an element of unknown type."""
    number = pydicom.datadict.tag_for_keyword(tag)
    assert number is not None
    vr = pydicom.datadict.dictionary_VR(number)
    if vr == "US":
        value: Any = rng.choice(ODD_INTEGERS) & 0xFFFF
        data[number] = pydicom.DataElement(number, "US", value)
        return f"{tag} {value}"
    text = rng.choice([*ODD_TEXTS, *(str(v) for v in (*ODD_INTEGERS, *ODD_FLOATS))])
    if rng.random() < 0.3:
        text = "\\".join([text] * rng.choice((2, 3, 6, 1000)))
    raw = text.encode("utf-8", "replace")
    raw += b" " * (len(raw) % 2)
    element = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(number), vr[:2], len(raw), raw, 0, False, True
    )
    data._dict[pydicom.tag.Tag(number)] = element  # as a file would have it
    return f"{tag} of an odd value"


def nested(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Sequences within sequences, in front of the pixels, not all of them closed."""
    depth = rng.choice((3, 100, 900, 3000))
    group, element = rng.choice(((0x5200, 0x9229), (0x5200, 0x9230), (0x0008, 0x1115)))
    undefined = 0xFFFFFFFF
    opened = struct.pack("<HH2sHI", group, element, b"SQ", 0, undefined)
    opened += struct.pack("<HHI", 0xFFFE, 0xE000, undefined)
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    inside = opened * depth + closed * rng.choice((depth, depth, depth - 1, 0))
    at = content.find(b"\xe0\x7f\x10\x00")
    at = len(content) if at < 0 else at
    return content[:at] + inside + content[at:], [f"sequences {depth} deep"]


def _frames(data: Dataset, rng: Random) -> str:
    count = rng.choice((0, 1, 2, 100, 500))
    groups = []
    for _ in range(count):
        item = Dataset()
        place = Dataset()
        place.ImagePositionPatient = [0, 0, rng.choice((0.0, 1.0, 1e9))]
        item.PlanePositionSequence = Sequence([place])
        groups.append(item)
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    data.NumberOfFrames = rng.choice((0, 1, count, 2**31 - 1, -1))
    return f"{count} frames"


def _syntax(data: Any, rng: Random) -> str:
    uid = rng.choice(_SYNTAXES)
    data.file_meta.TransferSyntaxUID = uid  # a lie: the encoding stays as it was
    return f"syntax {uid or 'none'}"


def _missing(data: Dataset, rng: Random) -> str:
    name = rng.choice((*_NUMBERS, *_WORDS, "PixelData"))
    if name in data:
        del data[name]
    return f"no {name}"


def _pixels(data: Dataset, rng: Random) -> str:
    pixels = bytes(data.get("PixelData") or b"\0\0")
    how = rng.choice(("empty", "short", "long", "changed"))
    new = {"empty": b"", "short": pixels[: len(pixels) // 2], "long": pixels * 50}.get(how)
    if new is None:
        new, _ = changed_bytes(pixels, rng)
    new += b"\0" * (len(new) % 2)
    data["PixelData"] = pydicom.DataElement(0x7FE00010, data["PixelData"].VR, new)
    if data.file_meta.get("TransferSyntaxUID") and data["PixelData"].is_undefined_length is False:
        data["PixelData"].is_undefined_length = rng.random() < 0.2
    return f"pixels {how}"


def changed_dataset(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """A file with some of its elements changed; as it was where it could not be written so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(io.BytesIO(content), force=True)
            words = []
            for _ in range(rng.choice((1, 1, 2, 3))):
                roll = rng.random()
                if roll < 0.3:
                    words.append(_raw(data, rng.choice(_NUMBERS), rng))
                elif roll < 0.7:
                    words.append(_raw(data, rng.choice(_WORDS), rng))
                else:
                    change = rng.choice((_frames, _syntax, _missing, _pixels))
                    words.append(change(data, rng))
            return to_bytes(data), words
        except Exception:  # pydicom refuses to write some of it
            return changed_bytes(content, rng)


def changed_lengths(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Lengths of explicit elements, where they stand in the file."""
    data = bytearray(content)
    places = [
        at
        for at in range(132, len(data) - 12)
        if data[at : at + 2] in (b"SQ", b"OW", b"OB", b"UN", b"UT", b"US", b"DS", b"UI", b"LO")
    ]
    items = [i for i in range(len(data) - 8) if data[i : i + 4] == b"\xfe\xff\x00\xe0"]
    value = rng.choice((0, 1, 3, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 30))
    if items and (rng.random() < 0.5 or not places):
        at = rng.choice(items) + 4
        data[at : at + 4] = struct.pack("<I", value)
        return bytes(data), ["an item's length"]
    if not places:
        return changed_bytes(content, rng)
    at = rng.choice(places)
    if bytes(data[at : at + 2]) in (b"SQ", b"OW", b"OB", b"UN", b"UT"):
        data[at + 4 : at + 8] = struct.pack("<I", value)
    elif rng.random() < 0.5:
        data[at : at + 2] = rng.choice((b"SQ", b"UN", b"OW", b"XX", b"\0\0", b"PN"))
        return bytes(data), ["a VR"]
    else:
        data[at + 2 : at + 4] = struct.pack("<H", value & 0xFFFF)
    return bytes(data), ["an element's length"]


def offsets(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Tables of offsets, fragments and codestreams of packed pixels."""
    data = bytearray(content)
    start = data.find(b"\xe0\x7f\x10\x00")
    if start < 0:
        return changed_bytes(content, rng)
    marks = {
        b"\xff\x51": 4, b"\xff\xf7": 3, b"\xff\xc3": 3, b"\xff\xc0": 3, b"\xff\xc1": 3,
    }  # sizes in JPEG 2000 and JPEG  # fmt: skip
    for mark, skip in marks.items():
        at = data.find(mark, start)
        if at >= 0 and rng.random() < 0.7:
            place = at + 2 + skip + rng.randrange(40)
            value = rng.choice((0, 1, 255, 0xFFFF, 0x7FFF, 0xFFFFFFFF, 30000))
            size = rng.choice((1, 2, 4))
            data[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "big")
            return bytes(data), ["a codestream's size"]
    head, tail = bytes(data[:start]), bytes(data[start:])
    changed, words = changed_bytes(tail, rng, early=40)
    return head + changed, [f"packed pixels: {word}" for word in words]


def bomb(rng: Random) -> tuple[bytes, list[str]]:
    """Few packed bytes that hold very many."""
    data = ct_slice(np.zeros((16, 12), np.int16), (0, 0, 0))
    mega = rng.choice((1, 30, 100, 600))
    whole = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    del data.PixelData
    plain = DicomBytesIO()
    plain.is_little_endian, plain.is_implicit_VR = True, False
    write_dataset(plain, data)
    meta = DicomBytesIO()
    meta.is_little_endian, meta.is_implicit_VR = True, False
    write_file_meta_info(meta, data.file_meta)
    head = b"\0" * 128 + b"DICM" + meta.getvalue()
    packed = whole.compress(plain.getvalue())
    packed += whole.compress(struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, mega << 20))
    for _ in range(mega):
        packed += whole.compress(b"\0" * (1 << 20))
    return head + packed + whole.flush(), [f"deflated, {mega} MB"]


class Dicom:
    """A folder of four images; one or all of them are changed."""

    def __init__(self) -> None:
        self.seeds = series_seeds()

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a series."""
        name = rng.choice(list(self.seeds))
        files = list(self.seeds[name])
        words = [name]
        roll = rng.random()
        if roll < 0.01:
            files[0], more = bomb(rng)
        elif roll < 0.08:
            write_enhanced(folder / "multi.dcm", body(4, 16, 12), [(0, 0, 3 * k) for k in range(4)])
            content = (folder / "multi.dcm").read_bytes()
            change = rng.choice((changed_dataset, changed_lengths, changed_bytes, nested))
            changed, more = change(content, rng)
            (folder / "multi.dcm").write_bytes(changed)
            return ["enhanced", *more]
        else:
            change = rng.choice((changed_dataset, changed_dataset, changed_lengths, offsets,
                                 changed_streams, changed_bytes, nested))  # fmt: skip
            every = rng.random() < 0.6
            state = rng.getstate()
            for index in range(len(files) if every else 1):
                rng.setstate(state)  # the same change in all
                files[index], more = change(files[index], rng)
            words.append("all files" if every else "one file")
        for index, content in enumerate(files):
            (folder / f"{index}.dcm").write_bytes(content)
        return [*words, *more]

    def use(self, folder: Path) -> None:
        """List and read all that is found, as `renalis segment` does."""
        found = find_scans([folder])
        scans = [source for source in found if source.kind != "unreadable"]
        for source in scans or found:
            scan = read_scan(source)
            assert scan.volume.array.dtype == np.int16
            assert np.isfinite(scan.volume.affine).all()


def target(scratch: Path) -> Dicom:
    """What tries DICOM series."""
    return Dicom()
