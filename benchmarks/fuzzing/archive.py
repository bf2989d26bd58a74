"""Zips whose directories lie, and that lead elsewhere."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import struct
import time
import zipfile
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np

from fuzzing.changed_bytes import ODD_TEXTS, changed_bytes
from fuzzing.dicom import changed_dataset, series_seeds
from renalis.dataset.slices import read_slices, slice_index
from renalis.io import find_scans, read_scan
from renalis.service.config import Limits
from renalis.service.store import Refused, open_store
from renalis.service.uploads import take_upload

__all__ = ["target"]

_LIMITS = Limits(upload_mb=20, unpacked_mb=40, files=50, free_gb=0.0001)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def _named(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
    info.filename = name[:60000]
    return info


class Archive:
    """A zip, given to the reader and to the service's uploads; or a file of slices."""

    def __init__(self, scratch: Path) -> None:
        self.images = series_seeds()["explicit"]
        self.scratch = scratch
        slices = {
            "image": np.zeros((3, 16, 16), np.uint8) + np.arange(16, dtype=np.uint8) * 9,
            "labels": np.zeros((3, 16, 16), np.uint8),
            "case": np.arange(3), "slice": np.arange(3.0), "spacing_mm": np.ones((3, 3)),
        }  # fmt: skip
        packed = io.BytesIO()
        np.savez_compressed(packed, **slices)
        self.slices = packed.getvalue()
        self.nifti = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([1, 1, 3, 1]))

    def begin(self) -> None:
        """The service's folder, with a database that is open."""
        self.store = open_store(self.scratch / "kept", _LIMITS)

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a zip."""
        if rng.random() < 0.2:
            content, words = self._slices(rng)
            (folder / "slices.npz").write_bytes(content)
            return words
        content, words = self._zip(rng)
        for change in (_flags, _sizes, _end, changed_bytes):
            if rng.random() < 0.25:
                content, more = change(content, rng)
                words += more
        (folder / "scan.zip").write_bytes(content)
        return words

    def _slices(self, rng: Random) -> tuple[bytes, list[str]]:
        if rng.random() < 0.5:
            content, words = changed_bytes(self.slices, rng)
            return content, ["slices", *words]
        # The header of an array within, packed anew so that the checksums are right.
        out = io.BytesIO()
        words = ["slices", "an array"]
        with zipfile.ZipFile(io.BytesIO(self.slices)) as before, zipfile.ZipFile(out, "w") as after:
            chosen = rng.choice(before.namelist())
            for name in before.namelist():
                inner = before.read(name)
                if name == chosen:
                    inner, more = self._array(inner, rng)
                    words += more
                after.writestr(name, inner)
        return out.getvalue(), words

    @staticmethod
    def _array(inner: bytes, rng: Random) -> tuple[bytes, list[str]]:
        if rng.random() < 0.5:
            return changed_bytes(inner, rng, early=128)
        shape = rng.choice(("(3, 2147483647, 2147483647)", "(-1,)", "()", "(3, 60000, 60000)"))
        kind = rng.choice(("|u1", "|O", "<f8", "|V0", "|S9999999", "[('a', '|O')]"))
        text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
        head = text.ljust(117).encode() + b"\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + inner[128:], [shape, kind]

    def _zip(self, rng: Random) -> tuple[bytes, list[str]]:
        out, words = io.BytesIO(), []
        with zipfile.ZipFile(out, "w", rng.choice(_METHODS)) as archive:
            for index, seed in enumerate(self.images):
                image = seed
                info = _named(f"study/{index}.dcm")
                roll = rng.random()
                if roll < 0.15:
                    info.filename = rng.choice((
                        "../../../tmp/out.dcm", "/tmp/out.dcm", "..\\..\\x.dcm", "C:/x.dcm", "a/",
                        "a/../b.dcm", "\0.dcm", "x" * 70000, *ODD_TEXTS,
                    ))[:60000]  # fmt: skip
                    words.append("a name that leads elsewhere")
                elif roll < 0.2:
                    kind = rng.choice((stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR))
                    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
                    image = b"/etc/passwd"
                    words.append("a link or device")
                elif roll < 0.3:
                    image, more = changed_dataset(image, rng)
                    words += more
                archive.writestr(info, image)
            if rng.random() < 0.1:
                for _ in range(rng.choice((3, 60))):
                    archive.writestr(_named("study/0.dcm"), self.images[0])
                words.append("a name many times")
            if rng.random() < 0.03:
                archive.writestr("study/zeros.dcm", b"\0" * (1 << 20) * rng.choice((1, 50)),
                                 zipfile.ZIP_DEFLATED)  # fmt: skip
                words.append("much of nothing")
            if rng.random() < 0.1:
                archive.writestr("inner.zip", self.slices)
                archive.writestr("scan.nii", self.nifti.to_bytes())
                words.append("a zip and a NIfTI within")
        return out.getvalue(), words

    def use(self, folder: Path) -> None:
        """Read it, and upload it."""
        slices = folder / "slices.npz"
        if slices.exists():
            try:
                slice_index(slices)
            finally:
                read_slices(slices)
            return
        arrived = self.store.arriving / "upload"
        shutil.copy(folder / "scan.zip", arrived)
        digest = hashlib.sha256(arrived.read_bytes() + str(time.time()).encode()).hexdigest()
        try:
            take_upload(self.store, arrived, digest)
        except Refused:
            pass
        finally:
            arrived.unlink(missing_ok=True)
        for source in find_scans([folder / "scan.zip"]):
            read_scan(source)
        find_scans([folder])


def _flags(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Passwords, methods and versions in the directory."""
    data = bytearray(content)
    at = _one(data, b"PK\1\2", rng)
    place = at + rng.choice((6, 8, 10))
    data[place : place + 2] = struct.pack("<H", rng.choice((1, 8, 9, 12, 14, 0x800, 0xFFFF, 99)))
    return bytes(data), ["flags, method or version"]


def _sizes(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Sizes and places of members that are not theirs; 0xFFFFFFFF asks for zip64."""
    data = bytearray(content)
    at = _one(data, b"PK\1\2", rng)
    place = at + rng.choice((20, 24, 28, 30, 32, 42))
    size = 2 if place - at in (28, 30, 32) else 4
    value = rng.choice((0, 1, 100, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)) & ((1 << 8 * size) - 1)
    data[place : place + size] = value.to_bytes(size, "little")
    return bytes(data), ["sizes or places of members"]


def _end(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """The end of the directory, where its length and place are."""
    data = bytearray(content)
    at = max(0, data.rfind(b"PK\5\6"))
    place = at + rng.choice((4, 6, 8, 10, 12, 16, 20))
    value = rng.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
    size = 4 if place - at in (12, 16) else 2
    data[place : place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    if rng.random() < 0.3:  # a locator of zip64 that points anywhere
        data[at:at] = b"PK\6\7" + struct.pack("<IQI", 0, rng.choice((0, 2**63, 2**64 - 1)), 1)
    return bytes(data), ["the directory's end"]


def _one(data: bytearray, mark: bytes, rng: Random) -> int:
    places = [i for i in range(len(data) - 4) if data[i : i + 4] == mark]
    return rng.choice(places) if places else 0


def target(scratch: Path) -> Archive:
    """What tries zips."""
    return Archive(scratch)
