"""MetaImage and NRRD: headers in words that point anywhere and promise anything."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

import numpy as np
import SimpleITK as sitk

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS, changed_bytes
from renalis.errors import RenalisError
from renalis.io import find_scans, read_scan
from renalis.io.read_labels import read_label_map
from renalis.io.segments.nrrd import read_seg_nrrd

__all__ = ["target"]

_SECRET = 1234
"""HU of a file that lies outside of the input's folder: nothing that is read may have it."""


class Itk:
    """One file, or a header and its voxels."""

    def __init__(self, scratch: Path) -> None:
        values = np.random.default_rng(2).integers(-900, 900, (5, 6, 7)).astype(np.int16)
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((0.8, 0.8, 3.0))
        labels = sitk.GetImageFromArray((values > 0).astype(np.uint8))
        labels.SetSpacing((0.8, 0.8, 3.0))
        self.seeds: list[dict[str, bytes]] = []
        for name in ("scan.mha", "scan.mhd", "scan.nrrd", "scan.nhdr"):
            for packed in (False, True):
                for what in (image, labels):
                    place = scratch / f"{len(self.seeds)}"
                    place.mkdir()
                    sitk.WriteImage(what, str(place / name), packed)
                    self.seeds.append({p.name: p.read_bytes() for p in place.iterdir()})
        secret = np.full((5, 6, 7), _SECRET, np.int16).tobytes()
        self.secret = scratch / "secret.raw"
        self.secret.write_bytes(secret)
        (scratch.parent / "secret.raw").write_bytes(secret)

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a file with lines or bytes of its header changed."""
        files = dict(rng.choice(self.seeds))
        name = next(n for n in files if n.rsplit(".")[-1] in ("mha", "mhd", "nrrd", "nhdr"))
        content = files[name]
        if rng.random() < 0.65:
            content, words = self._lines(content, name, rng)
        else:
            content, words = changed_bytes(content, rng, early=300)
        files[name] = content
        if rng.random() < 0.2:
            other = rng.choice(list(files))
            files[other], more = changed_bytes(files[other], rng)
            words += more
        for each, data in files.items():
            (folder / each).write_bytes(data)
        return [name, *words]

    def _lines(self, content: bytes, name: str, rng: Random) -> tuple[bytes, list[str]]:
        lines = content.split(b"\n")
        head = next((i for i, line in enumerate(lines) if line in (b"", b"\r")), len(lines))
        if "mh" in name:
            head = next(i for i, line in enumerate(lines) if b"ElementDataFile" in line) + 1
        words = []
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(head)
            separator = b":" if b":" in lines[at] and "mh" not in name else b"="
            key, _, value = lines[at].partition(separator)
            roll = rng.random()
            if roll < 0.15:
                place = rng.choice(("../secret.raw", str(self.secret), "/etc/passwd", "LIST",
                                    "scan%02d.raw 1 3 1", "x/../../secret.raw"))  # fmt: skip
                lines.insert(max(1, at), self._data_file(name, place))
                words.append("a data file elsewhere")
            elif roll < 0.25:
                lines.insert(at, lines[at])
                words.append("a line twice")
            elif roll < 0.3:
                del lines[at]
                words.append("a line less")
                head = max(1, head - 1)
            else:
                odd = rng.choice([*map(str, ODD_INTEGERS), *map(str, ODD_FLOATS), *ODD_TEXTS])
                parts = value.split()
                if parts and rng.random() < 0.8:
                    parts[rng.randrange(len(parts))] = odd.encode("utf-8", "replace")
                else:
                    parts = [odd.encode("utf-8", "replace")] * rng.choice((1, 3, 9))
                lines[at] = key + separator + b" " + b" ".join(parts)
                words.append(key.decode("latin1").strip()[:30])
        return b"\n".join(lines), words

    @staticmethod
    def _data_file(name: str, place: str) -> bytes:
        return (f"data file: {place}" if "n" in name.rsplit(".", maxsplit=1)[-1] else
                f"ElementDataFile = {place}").encode()  # fmt: skip

    def use(self, folder: Path) -> None:
        """Read it as a scan, as a label map, and as named segments."""
        path = next(p for p in sorted(folder.iterdir()) if p.name.startswith("scan.")
                    and p.suffix in (".mha", ".mhd", ".nrrd", ".nhdr"))  # fmt: skip
        for read in (read_label_map, read_seg_nrrd):
            with contextlib.suppress(RenalisError):
                read(path)
        scan = read_scan(find_scans([path])[0])
        assert not (scan.volume.array == _SECRET).all(), "a file outside was read"
        assert find_scans([folder])


def target(scratch: Path) -> Itk:
    """What tries MetaImage and NRRD files."""
    return Itk(scratch)
