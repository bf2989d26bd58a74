"""Compressed frames, looked at before a decoder takes their headers at their word.

Decoders make room for whatever size a stream claims, and GDCM ends the whole program over headers
that contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, get_frame, parse_basic_offsets

from renalis.io.jpeg2000_stream import jpeg2000_size
from renalis.io.jpeg_stream import jpeg_size

__all__ = ["check_codestreams", "decoder_of", "frame_bytes"]

_DECODERS = {
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended, 12 bit
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first order
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    **dict.fromkeys(  # JPEG 2000, and its high-throughput kind, by OpenJPEG
        (f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)), "pylibjpeg"
    ),
    "1.2.840.10008.1.2.5": "pydicom",  # RLE
}

_SIZES = {"gdcm": jpeg_size, "pyjpegls": jpeg_size, "pylibjpeg": jpeg2000_size}
"""How the size of a frame is read, by what decodes it."""
_BITS_ALLOCATED = (1, 8, 16)
"""Over others GDCM ends the program."""


def decoder_of(data: Dataset) -> str:
    """The plugin of pydicom that decodes a file's pixels; empty for others than compressed ones."""
    return _DECODERS.get(str(data.file_meta.get("TransferSyntaxUID", "")), "")


def check_codestreams(
    data: Dataset, rows: int, columns: int, frames: Sequence[int] | None = None
) -> None:
    """Refuse frames that are other pictures than the file's header says.

    Parameters
    ----------
    data : Dataset
        A file with its pixels; others than JPEG, JPEG-LS and JPEG 2000 are left alone.
    rows, columns : int
        Of each frame.
    frames : sequence of int, optional
        Those that are decoded one by one, from 0; None if all are decoded in one go.

    Raises
    ------
    ValueError
        If a frame is no grey picture of exactly this size, or cannot be found, or values have more
        than 16 bits. What is not seen in headers is left to the decoder.
    """
    size_of = _SIZES.get(decoder_of(data))
    if size_of is None:
        return
    bits = data.get("BitsAllocated")
    if bits not in _BITS_ALLOCATED:
        raise ValueError(f"{bits} bits for each value")
    for stream in _streams(data, frames):
        found = size_of(stream)
        if found != (rows, columns):
            raise ValueError(f"a picture of {found} in place of {(rows, columns)}")


def frame_bytes(data: Dataset, frame: int) -> bytes:
    """The compressed bytes of one frame, as pydicom's decoders find them.

    Parameters
    ----------
    data : Dataset
        A file with compressed pixels.
    frame : int
        From 0.

    Raises
    ------
    ValueError
        If the file does not say where it is, or has no such frame.
    """
    return get_frame(data.PixelData, frame, **_places(data))


def _streams(data: Dataset, frames: Sequence[int] | None) -> Iterator[bytes]:
    """One frame after the other, put together of its fragments exactly as for the decoder.

    By tables of offsets a single frame is found by its offset, wherever that points, but all frames
    in one go by their fragments, so that a file may hold other streams for each of the two.
    """
    places = _places(data)
    if frames is None:
        yield from generate_frames(data.PixelData, **places)
    elif not (places["extended_offsets"] or parse_basic_offsets(data.PixelData)):
        # The same for both, and in one pass.
        yield from islice(generate_frames(data.PixelData, **places), max(frames, default=-1) + 1)
    else:
        for frame in frames:
            yield frame_bytes(data, frame)


def _places(data: Dataset) -> dict[str, Any]:
    """What says where frames begin, as pydicom takes it."""
    offsets = None
    if "ExtendedOffsetTable" in data:
        offsets = data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths
        if len(offsets[0]) != len(offsets[1]):
            offsets = None  # pydicom passes over them as well
    count = int(data.get("NumberOfFrames") or 1)
    return {"number_of_frames": count, "extended_offsets": offsets}
