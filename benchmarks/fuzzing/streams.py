"""Compressed frames of DICOM with other headers and in other fragments."""

from __future__ import annotations

import io
from random import Random

import pydicom
from pydicom.encaps import encapsulate, generate_frames

from fuzzing.changed_bytes import changed_bytes

__all__ = ["changed_streams"]

_SEGMENTS = {
    "LSE with a size": "fff8000c 04 04 00011170 00004e20",
    "LSE with a table": "fff80006 02 01 02 00",
    "DNL": "ffdc0004 ea60",
    "a frame header": "fff7000b 10 ea60 ea60 01 011100",
    "a lossless frame header": "ffc3000b 11 ea60 ea60 01 011100",
    "DHP": "ffde000b 10 ea60 ea60 01 011100",
    "small precincts": "ff520012 01 00 ffff 00 05 04 04 00 01 00 11 11 11 11 11",
    "an unknown marker": "ff30 0002",
    "fill bytes": "ff ff ff",
}
_MARKERS = ("ffd8", "fff7", "ffc3", "ffc4", "ffda", "ffd9", "ff4f", "ff51", "ff52", "ff90", "ff93")


def changed_streams(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """A file whose frame has a segment more, in one fragment or two; as it was if there is none."""
    try:
        data = pydicom.dcmread(io.BytesIO(content))
        stream = next(generate_frames(data.PixelData, number_of_frames=1))
        places = [at for m in _MARKERS if (at := stream.find(bytes.fromhex(m))) >= 0]
        name = rng.choice(list(_SEGMENTS))
        at = rng.choice(places) + 2 * rng.randrange(2)
        stream = stream[:at] + bytes.fromhex(_SEGMENTS[name]) + stream[at:]
        words = [name]
        if rng.random() < 0.3:
            place = stream.find(rng.choice((b"\xff\xf7", b"\xff\xc3")))
            if place >= 0:
                precise = bytes((rng.choice((0, 1, 8, 17, 255)),))
                stream = stream[: place + 4] + precise + stream[place + 5 :]
                words.append("a precision")
        if rng.random() < 0.3:
            data.BitsAllocated = rng.choice((8, 24, 32, 64))
            words.append(f"{data.BitsAllocated} bits")
        parts = rng.choice((1, 2, 3))
        data.PixelData = encapsulate(
            [stream], fragments_per_frame=parts, has_bot=rng.random() < 0.5
        )
        out = io.BytesIO()
        data.save_as(out)
        return out.getvalue(), [*words, f"{parts} fragments"]
    except Exception:  # no compressed frame
        return changed_bytes(content, rng)
