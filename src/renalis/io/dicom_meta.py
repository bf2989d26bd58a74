"""Look at a DICOM file's first group before pydicom does, and bound what it unpacks to."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

__all__ = ["check_unpacked_size"]

_LARGEST_UNPACKED = 1 << 29
_META_SIZES = (1 << 12, 1 << 16)
_PREAMBLE = 132
_CHUNK = 1 << 20


def check_unpacked_size(stream: BinaryIO) -> None:
    """Refuse a deflated data set that unpacks to more than any scan, as pydicom would in one go.

    Parameters
    ----------
    stream : BinaryIO
        A file with a preamble; where it stands before and after does not matter.

    Raises
    ------
    ValueError
        If it unpacks to more, or its file meta group is damaged or endless.
    """
    meta, end = _file_meta(stream)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    stream.seek(end)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    while not unpack.eof and (block := unpack.unconsumed_tail or stream.read(_CHUNK)):
        size += len(unpack.decompress(block, 1 << 24))
        if size > _LARGEST_UNPACKED:
            raise ValueError("it unpacks to more than a scan can have")


def _file_meta(stream: BinaryIO) -> tuple[Dataset, int]:
    """The elements of group 2 (PS3.10 7.1) and where they end, as pydicom will find them.

    The group's declared length is not trusted: pydicom reads on to the first other group.
    """
    for size in _META_SIZES:
        stream.seek(0)
        head = BytesIO(stream.read(size))
        head.seek(_PREAMBLE)
        meta = read_dataset(head, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        if head.tell() < len(head.getvalue()):
            for tag in list(meta.keys())[:1]:
                _ = meta[tag]  # pydicom takes another encoding of the group if this fails
            return meta, head.tell()
    raise ValueError("its file meta group does not end")
