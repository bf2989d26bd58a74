"""Images that come in: each is whole on disk before its sender is told so."""

from __future__ import annotations

import hashlib
import io

import pydicom
from pydicom.uid import UID

from renalis.errors import RenalisError
from renalis.io import whole_file
from renalis.service.image_content import content_hash
from renalis.service.series import add_image, series_key, series_size
from renalis.service.store import Refused, Store, check_room

__all__ = ["take_image"]

_TAGS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


def take_image(store: Store, content: bytes, origin: str) -> str:
    """Keep one DICOM object.

    The same object again changes nothing; another one with the same SOP instance UID takes its
    place.

    Parameters
    ----------
    store : Store
        Where.
    content : bytes
        A DICOM file.
    origin : str
        Who brought it: ``dimse``, or ``dicomweb:`` and the archive's name.

    Returns
    -------
    str
        Key of its series.

    Raises
    ------
    Refused
        If it is too large, no DICOM, or there is no room.
    OutputError
        If it cannot be written.
    """
    limits = store.limits
    if len(content) > limits.image_mb * 1e6:
        raise Refused("image_mb", "the image is larger than limits.image_mb")
    study, series, instance = _uids(content)
    digest = _digest(content)
    key = series_key(study, series)
    name = f"{hashlib.sha256(instance.encode()).hexdigest()[:32]}.dcm"
    check_room(store)
    # One at a time, so that nothing is deleted between a file and what the queue knows of it.
    with store.database.transaction():
        images, size = series_size(store.database, key)
        if images >= limits.images or size + len(content) > limits.series_mb * 1e6:
            raise Refused("series", "the series has more than limits.images or limits.series_mb")
        with whole_file(store.series(key) / name) as file:
            file.write(content)
        add_image(
            store.database, study, series, origin, name, digest, len(content), store.clock.now()
        )
    return key


def _digest(content: bytes) -> str:
    try:
        return content_hash(content)
    except Exception as error:  # pydicom raises whatever a damaged object provokes
        raise Refused("damaged", "the image is damaged") from error


def _uids(content: bytes) -> tuple[str, str, str]:
    """Of study, series and instance."""
    try:
        head = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=_TAGS)
        found = [str(head.get(tag) or "") for tag in _TAGS]
    except RenalisError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged object provokes
        raise Refused("damaged", "the image is damaged or no DICOM") from error
    if not all(uid and UID(uid).is_valid for uid in found):
        raise Refused("uids", "the image names no study, no series or no instance")
    study, series, instance = found
    return study, series, instance
