"""What all DICOM objects of one result share: the study, made-up UIDs, maker, and a warning.

Every UID that is made up is a hash of the scan's UIDs, the model and the voxels, so that the same
input gives the same objects, byte by byte. No name of a patient enters.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from renalis.io.scan import Scan, SourceSlice
from renalis.io.segments.facts import Maker, SegmentFacts
from renalis.io.segments.seg_sources import Sources, read_sources
from renalis.io.write import whole_file
from renalis.volume import Volume

__all__ = ["LONGEST", "SegmentedStudy", "new_object", "of_patient", "reference", "write_object"]

LONGEST = 64
"""Characters of a long string (LO)."""
_FIRST_SERIES = 9000
"""Added to the number of the scan's series."""
_PRIVATE = 0x0099
_WARNING = "Research software, not for diagnosis"


@dataclass(frozen=True, eq=False)
class SegmentedStudy:
    """A segmented scan that was read from DICOM.

    Attributes
    ----------
    numbers : Volume
        Whole numbers, on the scan's grid, axes (column, row, slice): 0 outside, else 1 plus the
        place in ``facts``.
    facts : tuple of SegmentFacts
        Each occurs; empty when nothing was found.
    sources : Sources
        The scan's images.
    maker : Maker
        Named in the objects.
    seed : str
        A hash of all that makes one result another one.
    """

    numbers: Volume
    facts: tuple[SegmentFacts, ...]
    sources: Sources
    maker: Maker
    seed: str

    @classmethod
    def of(
        cls, numbers: Volume, facts: Sequence[SegmentFacts], scan: Scan, maker: Maker
    ) -> SegmentedStudy:
        """Read the headers of a scan's images.

        Raises
        ------
        NoStudyError
            If the scan is no DICOM, or its images do not allow objects in their study.
        InputError
            If its files are gone.
        ValueError
            If the numbers do not lie on the scan's grid.
        """
        if not numbers.same_grid(scan.volume):
            raise ValueError("the segments are not on the scan's grid")
        sources = read_sources(scan)
        seed = _seed(numbers, facts, sources, maker)
        return cls(numbers, tuple(facts), sources, maker, seed)

    @property
    def kept(self) -> list[int]:
        """Slices that hold a segment."""
        array = self.numbers.array
        return [k for k in range(self.numbers.shape[2]) if array[:, :, k].any()]

    def images(self) -> dict[str, list[Dataset]]:
        """References to all images of the scan, each once, by the UID of their series."""
        by_series: dict[str, list[Dataset]] = {}
        seen = set()
        for one, series in zip(self.sources.slices, self.sources.series, strict=True):
            if one.sop_instance_uid not in seen:
                seen.add(one.sop_instance_uid)
                by_series.setdefault(series, []).append(reference(one))
        return by_series

    def image(self, source: SourceSlice) -> Dataset:
        """A reference to the image, or the frame of an image, of one slice."""
        item = reference(source)
        if source.frame or self._frames[source.sop_instance_uid] > 1:
            item.ReferencedFrameNumber = source.frame + 1
        return item

    @cached_property
    def _frames(self) -> Counter[str]:
        """How many slices each stored image has."""
        return Counter(one.sop_instance_uid for one in self.sources.slices)

    def uid(self, what: str) -> UID:
        """A UID made of a UUID (PS3.5 B.2)."""
        name = f"renalis {what} {self.seed}"
        return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}")

    def fields(self, kind: str, place: int, what: str) -> dict[str, Any]:
        """What highdicom's objects all take: the series, the object and what made it.

        Parameters
        ----------
        kind : str
            Tells its UIDs from those of others.
        place : int
            See `series_number`.
        what : str
            See `series_description`.
        """
        return {
            "series_instance_uid": self.uid(f"{kind} series"),
            "series_number": self.series_number(place),
            "series_description": self.series_description(what),
            "sop_instance_uid": self.uid(f"{kind} instance"),
            "instance_number": 1,
            "manufacturer": "renalis",
            "manufacturer_model_name": self.maker.model[:LONGEST],
            "software_versions": self.maker.version[:LONGEST],
            "device_serial_number": "none",
            "content_date": self.sources.date,
            "content_time": self.sources.time,
            "specific_character_set": "ISO_IR 192",
        }

    def tracking_uid(self, facts: SegmentFacts) -> UID:
        """The same in every object."""
        return self.uid(f"segment {facts.id}")

    def series_description(self, what: str) -> str:
        """What lists of series show of one of ours."""
        return f"renalis: {what}{', corrected' if self.maker.corrected else ''} (research only)"

    def series_number(self, place: int) -> int:
        """Number of a series of ours; ``place`` tells one kind of object from another."""
        number: Any = self.sources.header.get("SeriesNumber")
        plain = isinstance(number, int) and 0 <= number < 1_000_000
        return _FIRST_SERIES + 1000 * place + (int(number) if plain else 0)


def new_object(study: SegmentedStudy, sop_class: UID, kind: str, place: int) -> Dataset:
    """An object of the patient and study, as a series of its own, without content.

    Parameters
    ----------
    study : SegmentedStudy
        Of which it is.
    sop_class : UID
        What it is.
    kind : str
        Tells its UIDs from those of others.
    place : int
        See `SegmentedStudy.series_number`.
    """
    maker = study.maker
    made = of_patient(study)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.SOPInstanceUID = study.uid(f"{kind} instance")
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.SeriesInstanceUID = study.uid(f"{kind} series")
    made.SeriesNumber = study.series_number(place)
    made.InstanceNumber = 1
    made.Manufacturer = "renalis"
    made.ManufacturerModelName = maker.model[:LONGEST]
    made.SoftwareVersions = maker.version[:LONGEST]
    made.DeviceSerialNumber = "none"
    return made


def of_patient(study: SegmentedStudy) -> Dataset:
    """What says of which patient and study something is, and no more."""
    made = Dataset()
    for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID",
                "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
                "ReferringPhysicianName"):  # fmt: skip
        made[tag] = study.sources.header[tag]
    return made


def write_object(path: Path, made: Dataset) -> None:
    """Write an object with a private note that it is research software, whole or not at all."""
    # Of this run, and not of the object: the same input gives the same bytes.
    for tag in ("InstanceCreationDate", "InstanceCreationTime"):
        made.pop(tag, None)
    for item in made.get("ContributingEquipmentSequence", []):
        item.pop("ContributionDateTime", None)
    block = made.private_block(_PRIVATE, "RENALIS", create=True)
    block.add_new(0x01, "LO", _WARNING)
    with whole_file(path) as file:
        dcmwrite(file, made, enforce_file_format=True)


def reference(source: SourceSlice) -> Dataset:
    """An image, by its class and UID."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class_uid
    item.ReferencedSOPInstanceUID = source.sop_instance_uid
    return item


def _seed(numbers: Volume, facts: Sequence[SegmentFacts], sources: Sources, maker: Maker) -> str:
    array = numbers.array
    kept = [k for k in range(numbers.shape[2]) if array[:, :, k].any()]
    words = [repr(maker), repr(tuple(facts)), repr(tuple(kept)), repr(numbers.shape)]
    words += [*sources.series, *(one.sop_instance_uid for one in sources.slices)]
    digest = hashlib.sha256("\n".join(words).encode())
    for k in kept:
        digest.update(np.ascontiguousarray(array[:, :, k].T, dtype="<u2").data)
    return digest.hexdigest()
