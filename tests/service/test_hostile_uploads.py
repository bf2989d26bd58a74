"""Uploads that are broken or made to do harm: refused with a sentence, nothing stays behind."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
from collections.abc import Callable, Iterator

import nibabel as nib
import numpy as np
import pytest
from helpers.service_api import Api

from renalis.service.jobs import all_jobs

Writer = Callable[[zipfile.ZipFile], None]


def zip_of(write: Writer, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as archive:
        write(archive)
    return content.getvalue()


def named(*names: str) -> bytes:
    return zip_of(lambda archive: [archive.writestr(name, b"x") for name in names] and None)


def link() -> bytes:
    def write(archive: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo("scan.dcm")
        member.create_system = 3
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")

    return zip_of(write)


def bomb() -> bytes:
    return zip_of(lambda archive: archive.writestr("a.dcm", b"\0" * 5_000_000))


def overlapping() -> bytes:
    """Two names for the same packed bytes, as the bombs of Fifield (WOOT 2019) have thousands."""

    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr("a.dcm", b"\0" * 100_000)
        archive.filelist.append(archive.filelist[0])

    return zip_of(write)


def encrypted() -> bytes:
    content = bytearray(named("a.dcm"))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    return bytes(content)


def lying() -> bytes:
    """A zip whose member is larger than it says."""
    content = bytearray(zip_of(lambda a: a.writestr("a.dcm", b"\0" * 3_000_000)))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (100).to_bytes(4, "little")
    return bytes(content)


def nifti(shape: tuple[int, ...] = (4, 4, 4)) -> bytes:
    return nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)).to_bytes()


CASES = {
    "empty": (b"", 415, "is no zip"),
    "text": (b"hello" * 99, 415, "is no zip"),
    "program": (b"\x7fELF" + b"\0" * 400, 415, "is no zip"),
    "too large": (b"PK" + b"\0" * 1_000_001, 413, "limits.upload_mb"),
    "bomb": (bomb(), 413, "limits.unpacked_mb"),
    "gzip bomb": (gzip.compress(b"\0" * 5_000_000), 413, "limits.unpacked_mb"),
    "torn gzip": (gzip.compress(nifti())[:-20], 422, "gzip is damaged"),
    "torn zip": (named("a.dcm")[:-30], 422, "zip is damaged"),
    "too many": (named(*map(str, range(21))), 413, "limits.files"),
    "traversal": (named("../../etc/cron.d/x"), 422, "lead out of it"),
    "backslashes": (named("..\\..\\x"), 422, "lead out of it"),
    "absolute": (named("/etc/passwd"), 422, "lead out of it"),
    "drive": (named("C:/x"), 422, "lead out of it"),
    "link": (link(), 422, "links or devices"),
    "overlap": (overlapping(), 422, "overlap"),
    "password": (encrypted(), 422, "password"),
    "no scan": (named("a.txt"), 422, "the upload"),
    "lying": (lying(), 422, ""),
    "zip in zip": (zip_of(lambda a: a.writestr("b.zip", named("a.dcm"))), 422, "the upload"),
    "two-dimensional": (nifti((4, 4)), 422, "the upload"),
    "half a NIfTI": (nifti()[:200], 422, "the upload"),
    "no voxels": (nifti()[:360], 422, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_nothing_stays_behind(api: Api, name: str) -> None:
    content, code, words = CASES[name]
    answer = api.client.post("/api/jobs", content=content)
    assert answer.status_code == code, answer.text
    said = answer.json()["detail"]
    assert words in said
    assert str(api.store.folder) not in said
    assert api.left() == []
    assert all_jobs(api.store.database) == []


def test_an_upload_that_says_it_is_too_large_is_not_even_begun(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"PK"
        raise AssertionError("more was asked for")

    headers = {"Content-Length": str(10**9)}
    assert api.client.post("/api/jobs", content=pieces(), headers=headers).status_code == 413
    assert api.left() == []


def test_an_endless_upload_is_broken_off_at_the_limit(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"PK" + b"\0" * 100_000

    assert api.client.post("/api/jobs", content=pieces()).status_code == 413
    assert api.left() == []
