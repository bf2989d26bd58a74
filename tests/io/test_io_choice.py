"""Choosing among series and studies by words that mean what they seem to."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.dicom_writer import body, write_series

from renalis.errors import InputError
from renalis.io import find_scans, read_scan


def study(folder: Path, *series: dict, uid: str = "1.2.3.1") -> Path:
    """Series numbered from 1, each with ``slices`` images 6 mm apart."""
    for number, given in enumerate(series, 1):
        tags = dict(given)
        write_series(
            folder / str(number),
            body(tags.pop("slices")),
            step=(0, 0, 6.0),
            StudyInstanceUID=uid,
            SeriesInstanceUID=f"{uid}.{number}",
            SeriesNumber=number,
            **tags,
        )
    return folder


def chosen(folder: Path) -> str:
    return read_scan(folder).source.series_number


@pytest.mark.parametrize(
    "other",
    ["Neurocranium nativ 3.0", "Head Neuro 3.0", "Head during contrast", "Cranium", "CT_Neuro"],
)
def test_words_that_only_contain_an_abdominal_word_do_not_win(tmp_path: Path, other: str) -> None:
    study(
        tmp_path,
        {"slices": 20, "SeriesDescription": "Rumpf 5.0"},
        {"slices": 30, "SeriesDescription": other},
    )
    assert chosen(tmp_path) == "1"


@pytest.mark.parametrize("word", ["CT Urografie", "CT_Urinary tract", "urinary stones", "CTUro"])
def test_words_of_the_urinary_tract_are_abdominal(tmp_path: Path, word: str) -> None:
    study(
        tmp_path,
        {"slices": 20, "SeriesDescription": word},
        {"slices": 30, "SeriesDescription": "5.0"},
    )
    assert chosen(tmp_path) == "1"


def test_a_craniocaudal_abdomen_is_no_head(tmp_path: Path) -> None:
    study(
        tmp_path,
        {"slices": 30, "SeriesDescription": "cranio-caudal 5.0"},
        {"slices": 20, "SeriesDescription": "5.0"},
    )
    assert chosen(tmp_path) == "1"


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesDescription": "Abdomen Iodine map 1.0"},
        {"SeriesDescription": "Abdomen VNC"},
        {"SeriesDescription": "Abdomen Z-Eff"},
        {"SeriesDescription": "Abdomen MonoE 40keV"},
        {"SeriesDescription": "Abdomen", "ImageType": ["DERIVED", "PRIMARY", "AXIAL", "IODINE"]},
    ],
)
def test_a_computed_map_is_not_preferred_for_its_slices(tmp_path: Path, tags: dict) -> None:
    study(tmp_path, {"slices": 20, "SeriesDescription": "Abdomen"}, {"slices": 30, **tags})
    scan = read_scan(tmp_path)
    assert scan.source.series_number == "1"
    assert "computed" in scan.source.others[0].remark
    assert "may not be HU" in " ".join(read_scan(tmp_path, series="2").warnings)


def test_a_computed_map_of_the_abdomen_is_preferred_to_a_head(tmp_path: Path) -> None:
    study(
        tmp_path,
        {"slices": 20, "SeriesDescription": "Abdomen VNC"},
        {"slices": 30, "SeriesDescription": "Head"},
    )
    assert chosen(tmp_path) == "1"


@pytest.mark.parametrize("kernel", ["BONEPLUS", "LUNG", "EDGE", "B70f", "Br64d", "Bl64"])
def test_a_sharp_kernel_is_not_preferred_for_its_slices(tmp_path: Path, kernel: str) -> None:
    study(
        tmp_path,
        {"slices": 20, "SeriesDescription": "Recon 1", "ConvolutionKernel": "B30f"},
        {"slices": 30, "SeriesDescription": "Recon 2", "ConvolutionKernel": kernel},
    )
    scan = read_scan(tmp_path)
    assert scan.source.series_number == "1"
    assert "kernel" in scan.source.others[0].remark


def two_studies(folder: Path) -> Path:
    study(folder / "a", {"slices": 20, "SeriesDescription": "Abdomen"})
    head = {"slices": 30, "SeriesDescription": "Head"}
    study(folder / "b", head, head, uid="1.2.9")
    return folder


def test_of_several_studies_the_one_with_the_best_series_is_read(tmp_path: Path) -> None:
    scan = read_scan(two_studies(tmp_path))
    assert scan.source.series_description == "Abdomen"
    assert "2 studies" in " ".join(scan.warnings)


@pytest.mark.parametrize("wanted", ["abdomen", "1.2.3.1.1", "1.2.9.2", "2"])
def test_a_series_is_looked_for_in_all_studies(tmp_path: Path, wanted: str) -> None:
    scan = read_scan(two_studies(tmp_path), series=wanted)
    expected = "1.2.3.1.1" if wanted in ("abdomen", "1.2.3.1.1") else "1.2.9.2"
    assert scan.source.series is not None
    assert scan.source.series.uid == expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("1", "2 studies with a series '1'; give"), ("77", "2 studies and none of them .*; give")],
)
def test_a_series_that_names_no_single_study_is_refused(
    tmp_path: Path, wanted: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        read_scan(two_studies(tmp_path), series=wanted)


def test_folders_of_label_maps_are_not_searched(tmp_path: Path) -> None:
    for name in (
        "imagesTr/a.nii.gz",
        "labelsTr/a.nii.gz",
        "labelsTs/b.nii.gz",
        "c/instances/k.nii",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"not looked into")
    assert [s.path.parent.name for s in find_scans([tmp_path])] == ["imagesTr"]
    assert len(find_scans([tmp_path / "labelsTr"])) == 1
