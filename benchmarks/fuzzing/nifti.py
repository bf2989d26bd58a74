"""NIfTI headers and gzips that lie."""

from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, changed_bytes
from renalis.errors import RenalisError
from renalis.io import find_scans, read_scan
from renalis.io.read_labels import read_label_map

__all__ = ["target"]

_KINDS = (np.int16, np.uint8, np.float32, np.int32, np.float64, np.uint16)


def _seeds() -> list[tuple[bytes, bytes]]:
    """Header and the rest of small scans and label maps, NIfTI-1 and -2, either byte order."""
    values = np.random.default_rng(1).integers(-1000, 1000, (6, 7, 8))
    affine = np.diag([-0.8, -0.8, 3.0, 1.0])
    found = []
    for make, size in ((nib.Nifti1Image, 348), (nib.Nifti2Image, 540)):
        for kind in _KINDS:
            image = make((values % 4 if kind is np.uint8 else values).astype(kind), affine)
            content = image.to_bytes()
            found.append((content[:size], content[size:]))
        header = make(values.astype(np.int16), affine).header.as_byteswapped(">")
        body = b"\0" * 4 + values.astype(">i2").tobytes(order="F")
        found.append((header.binaryblock, body))
    return found


def _fields(header: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Header fields to values that no scan has."""
    kind = nib.Nifti1Header if len(header) == 348 else nib.Nifti2Header
    little = int.from_bytes(header[:4], "little") == len(header)
    fields = kind(header, endianness="<" if little else ">", check=False)
    words = []
    names = [n for n in fields.keys() if n != "sizeof_hdr"]  # noqa: SIM118 - no mapping
    likely = ["dim", "pixdim", "vox_offset", "datatype", "bitpix", "scl_slope", "scl_inter",
              "qform_code", "sform_code", "srow_x", "srow_z", "quatern_b", "magic",
              "xyzt_units"]  # fmt: skip
    structure = fields.structarr
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = rng.choice(likely if rng.random() < 0.8 else names)
        field = structure[name]
        place = structure.dtype[name]
        base = place.base
        with np.errstate(all="ignore"):
            if base.kind == "S":
                structure[name] = rng.randbytes(base.itemsize)
            elif base.kind == "f":
                value = np.float64(rng.choice(ODD_FLOATS)).astype(base)
                _set(structure, name, field, value, rng)
            else:
                bits = 8 * base.itemsize
                value = np.int64(rng.choice(ODD_INTEGERS) % (1 << min(bits, 63)))
                _set(structure, name, field, value.astype(base), rng)
        words.append(name)
    if rng.random() < 0.1:
        structure["dim"] = [7, *[np.iinfo(structure["dim"].dtype).max] * 7]
        words.append("dim all largest")
    return fields.binaryblock, words


def _set(structure: np.ndarray, name: str, field: np.ndarray, value: object, rng: Random) -> None:
    if field.shape:
        field[rng.randrange(len(field))] = value
    else:
        structure[name] = value


def _bomb(rng: Random) -> tuple[bytes, list[str]]:
    """Zeros, packed as tightly as deflate can, and a header that wants them or does not."""
    mega = rng.choice((1, 20, 200))
    side = rng.choice((8, 512, 1024, 4096, 32767))
    header = nib.Nifti1Header()
    header["dim"] = [3, side, side, rng.choice((2, 500, 32767)), 1, 1, 1, 1]
    header["pixdim"] = [1, 0.8, 0.8, 3, 1, 1, 1, 1]
    header["datatype"], header["bitpix"], header["sform_code"] = 4, 16, 1
    header["srow_x"], header["srow_y"] = [0.8, 0, 0, 0], [0, 0.8, 0, 0]
    header["srow_z"] = [0, 0, 3, 0]
    header["vox_offset"], header["magic"] = 352, b"n+1"
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = pack.compress(header.binaryblock + b"\0" * 4)
    for _ in range(mega):
        content += pack.compress(b"\0" * (1 << 20))
    return content + pack.flush(), [f"gzip of {mega} MB", f"side {side}"]


class Nifti:
    """One file or a pair."""

    def __init__(self) -> None:
        self.seeds = _seeds()

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a file; now and then a pair of header and voxels."""
        header, rest = rng.choice(self.seeds)
        if rng.random() < 0.01:
            content, words = _bomb(rng)
            (folder / "scan.nii.gz").write_bytes(content)
            return words
        roll = rng.random()
        if roll < 0.6:
            header, words = _fields(header, rng)
        elif roll < 0.75:
            extension = struct.pack("<ii", rng.choice(ODD_INTEGERS) & 0x7FFFFFFF, 4)
            rest, words = b"\1\0\0\0" + extension + rest[4:], ["an extension"]
        else:
            whole, words = changed_bytes(header + rest, rng, early=len(header))
            header, rest = whole[: len(header)], whole[len(header) :]
        if rng.random() < 0.1:
            (folder / "scan.hdr").write_bytes(header)
            (folder / "scan.img").write_bytes(rest[4:])
            return ["a pair", *words]
        content = header + rest
        if rng.random() < 0.4:
            content = gzip.compress(content, 1, mtime=0)
            words.append("gzip")
            if rng.random() < 0.5:
                content, more = changed_bytes(content, rng)
                words += more
        packed = content[:2] == b"\x1f\x8b" or rng.random() < 0.1
        (folder / ("scan.nii.gz" if packed else "scan.nii")).write_bytes(content)
        return words

    def use(self, folder: Path) -> None:
        """Read it as a scan and as a label map."""
        path = next(p for p in sorted(folder.iterdir()) if p.suffix != ".img")
        with contextlib.suppress(RenalisError):
            read_label_map(path)
        source = find_scans([path])[0]
        scan = read_scan(source)
        assert np.isfinite(scan.volume.affine).all()
        assert find_scans([folder])


def target(scratch: Path) -> Nifti:
    """What tries NIfTI files."""
    return Nifti()
