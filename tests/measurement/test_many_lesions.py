"""Of thousands of lesions the largest are measured and listed; volumes and maps hold all."""

from __future__ import annotations

import importlib
from functools import partial

import numpy as np
import pytest

from renalis.conventions import Label
from renalis.laterality import Midline
from renalis.measurement import measure, numbering
from renalis.measurement.structures import largest_lesions
from renalis.volume import Kind, Volume


def scan() -> tuple[Volume, Volume]:
    """A kidney with tumors of 1 to 5 rows and two cysts, another tumor outside; 2 mm voxels."""
    labels = np.zeros((60, 40, 40), np.uint8)
    labels[6:26, 8:32, 8:32] = Label.KIDNEY
    for number in range(5):
        labels[8:10, 10 : 11 + number, 10 + 4 * number] = Label.TUMOR
    labels[20:22, 12:18, 12:14] = Label.CYST
    labels[20:22, 12:13, 24:25] = Label.CYST
    labels[50:52, 20:23, 20:22] = Label.TUMOR
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = -60
    image = np.where(labels > 0, 100, 20).astype(np.int16)
    return Volume(image, affine), Volume(labels, affine, Kind.LABELS)


@pytest.fixture
def three_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    few = partial(largest_lesions, most=3)
    # By its name: the package's `measure` is the function.
    for module in ("measure", "numbering"):
        place = importlib.import_module(f"renalis.measurement.{module}")
        monkeypatch.setattr(place, "largest_lesions", few)


@pytest.mark.usefixtures("three_at_most")
def test_the_largest_are_listed_and_all_count_in_the_volumes() -> None:
    image, labels = scan()
    measured = measure(image, labels)
    voxels = [round(lesion.volume_ml / labels.voxel_ml) for lesion in measured.lesions]
    assert [(lesion.id, n) for lesion, n in zip(measured.lesions, voxels, strict=True)] == [
        ("tumor-1", 12), ("tumor-2", 10), ("cyst-1", 24),
    ]  # fmt: skip
    tumors, cysts = (np.count_nonzero(labels.array == label) for label in (2, 3))
    assert measured.totals.tumor_ml == pytest.approx(tumors * labels.voxel_ml)
    assert measured.totals.cyst_ml == pytest.approx(cysts * labels.voxel_ml)
    assert measured.notes[0].startswith("6 tumors and 2 cysts were found, so many that")
    assert "the 3 largest are measured and listed" in measured.notes[0]
    assert "6 tumors" in measured.csv_row()["notes"]


@pytest.mark.usefixtures("three_at_most")
def test_the_rest_is_one_structure_of_each_kind() -> None:
    _, labels = scan()
    found = numbering.numbered(labels, Midline(0.0))
    ids = [structure.id for structure in found.structures]
    assert ids[1:] == ["tumor-1", "tumor-2", "cyst-1", "further-tumors", "further-cysts"]
    by_number = np.array([0, *(structure.label for structure in found.structures)])
    np.testing.assert_array_equal(by_number[found.volume.array], labels.array)


def test_few_are_listed_without_a_word() -> None:
    image, labels = scan()
    measured = measure(image, labels)
    assert len(measured.lesions) == 8
    assert not any("so many" in note for note in measured.notes)
