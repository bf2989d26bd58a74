"""Uploads: looked through before they become jobs, and never unpacked to disk."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from renalis.errors import InputError
from renalis.io import inventory
from renalis.io.nifti_stored import stored_voxels
from renalis.io.scan import shown
from renalis.service.jobs import Job, add_job, new_id
from renalis.service.store import Refused, Store

__all__ = ["check_zip", "kind_of", "take_upload"]

_CHUNK = 1 << 20
_NIFTI_HEADERS = (348, 540)


def kind_of(path: Path) -> str:
    """What a file is by its first bytes, as the ending of its name.

    Raises
    ------
    Refused
        If it is neither a zip nor a scan.
    """
    with path.open("rb") as file:
        head = file.read(132)
    if head.startswith(b"PK"):
        return ".zip"
    if head.startswith(b"\x1f\x8b"):
        return ".nii.gz"
    if head[128:132] == b"DICM":
        return ".dcm"
    sizes = (struct.unpack(order, head[:4])[0] for order in ("<i", ">i") if len(head) >= 4)
    if any(size in _NIFTI_HEADERS for size in sizes):
        return ".nii"
    raise Refused("type", "the upload is no zip of DICOM files, no DICOM file and no NIfTI file")


def take_upload(store: Store, path: Path, sha256: str) -> tuple[Job, bool]:
    """Make a job of a file that has arrived; afterwards the file is gone from its place.

    Parameters
    ----------
    store : Store
        Where.
    path : Path
        In the folder of what is arriving.
    sha256 : str
        Of its content: uploaded again, it is the same job.

    Returns
    -------
    tuple of Job and bool
        The job, and whether it is new.

    Raises
    ------
    Refused
        If it holds no scan, or more than the limits allow.
    """
    kind = kind_of(path)
    unpacked = path.stat().st_size
    if kind == ".zip":
        check_zip(path, store.limits.files, store.limits.unpacked_mb * 1e6)
    elif kind == ".nii.gz":
        unpacked = _unpacked_size(path, store.limits.unpacked_mb * 1e6)
    job_id = new_id()
    place = store.job(job_id) / "input" / f"{job_id}{kind}"
    kept = False
    try:
        place.parent.mkdir(parents=True)
        os.replace(path, place)
        _look_through(place, unpacked)
        with place.open("rb") as file:
            os.fsync(file.fileno())
        job = add_job(
            store.database,
            job_id,
            origin="upload",
            source="upload",
            content=sha256,
            now=store.clock.now(),
        )
        kept = job.id == job_id
        return job, kept
    finally:
        if not kept:
            shutil.rmtree(store.job(job_id), ignore_errors=True)


def _look_through(path: Path, unpacked: int) -> None:
    """Refuse a file without a scan; headers are read, voxels only counted."""
    scans = inventory([path]).scans
    readable = [scan for scan in scans if scan.kind != "unreadable"]
    said = scans[0].problem if scans else "the upload holds no scan"
    if readable and readable[0].kind == "nifti":
        try:
            with stored_voxels(path) as stored:
                if math.prod(stored.shape) * stored.dtype.itemsize > unpacked:
                    raise Refused("damaged", "the file is cut short; copy it again")
        except InputError as error:
            readable, said = [], str(error)
    if not readable:
        raise Refused("unreadable", said.replace(shown(path), "the upload"))


def check_zip(path: Path, most_files: int, most_bytes: float) -> None:
    """Refuse a zip that is damaged, too much, or made to do harm.

    Raises
    ------
    Refused
        If it is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise Refused("damaged", "the zip is damaged; copy it again") from error
    if len(members) > most_files:
        raise Refused("files", f"the zip holds more than {most_files} files (limits.files)")
    # zipfile stops at the sizes that are declared here.
    if sum(member.file_size for member in members) > most_bytes:
        raise Refused("unpacked", "the zip unpacks to more than limits.unpacked_mb")
    _check_overlaps(members)
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in member.filename.split("/")[0]:
            raise Refused("path", "the zip holds names that lead out of it")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise Refused("link", "the zip holds links or devices")
        if member.flag_bits & 1:
            raise Refused("password", "the zip is protected by a password")


def _check_overlaps(members: Iterable[zipfile.ZipInfo]) -> None:
    """Members that share their packed bytes make small zips unpack to very much."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise Refused("overlap", "the zip holds files that overlap")
        end = member.header_offset + member.compress_size


def _unpacked_size(path: Path, most_bytes: float) -> int:
    """Of a gzip, unpacked piece by piece and kept nowhere; damaged or huge it is refused."""
    size = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_CHUNK):
                size += len(piece)
                if size > most_bytes:
                    raise Refused("unpacked", "the file unpacks to more than limits.unpacked_mb")
    except (OSError, EOFError, zlib.error) as error:
        raise Refused("damaged", "the gzip is damaged; copy it again") from error
    return size
