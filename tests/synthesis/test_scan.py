"""Synthetic scans look like CT in numbers, lie where the body lies, and follow from the seed."""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.vanishing import bring_back, take_away
from scipy import ndimage

from renalis.cli import main
from renalis.errors import InputError, OutputError
from renalis.recipes import HeldBack, load_system
from renalis.recipes.reading import find_recipe
from renalis.synthesis.anatomy import compose
from renalis.synthesis.appearance import draw_appearance, render
from renalis.synthesis.cohort import Cohort, make_cohort
from renalis.synthesis.invented_labels import invented_labels
from renalis.synthesis.label_maps import read_kits23_labels
from renalis.synthesis.scan import scan_body
from renalis.synthesis.scanner import Scanner, acquire, draw_scanner
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Phase, Tissue
from renalis.volume import Volume


@pytest.fixture(scope="module")
def body() -> Volume:
    rng = np.random.default_rng(5)
    return compose(invented_labels(rng, "normal"), rng, 4.0, vary=False)


def test_contrast_phases_order_cortex_medulla_and_urine(body: Volume) -> None:
    def mean(phase: Phase, tissue: Tissue) -> float:
        drawn = [draw_appearance(np.random.default_rng(i), phase) for i in range(40)]
        return float(np.mean([appearance.mean[tissue] for appearance in drawn]))

    unenhanced = mean(Phase.UNENHANCED, Tissue.CORTEX)
    assert 20 < unenhanced < 50
    early = Phase.CORTICOMEDULLARY
    assert mean(early, Tissue.CORTEX) > mean(early, Tissue.MEDULLA) + 40
    late = Phase.NEPHROGRAPHIC
    assert abs(mean(late, Tissue.CORTEX) - mean(late, Tissue.MEDULLA)) < 30
    assert mean(Phase.EXCRETORY, Tissue.COLLECTING_SYSTEM) > 300
    assert mean(early, Tissue.ARTERY) > mean(late, Tissue.ARTERY) > unenhanced


def test_some_tumors_hold_fat_and_some_cysts_are_denser_than_water() -> None:
    drawn = [draw_appearance(np.random.default_rng(i)).mean for i in range(400)]
    fatty = np.array([mean[Tissue.TUMOR_B] < 5 for mean in drawn])
    assert 0.015 < fatty.mean() < 0.08  # angiomyolipomas
    dense = np.array([mean[Tissue.CYST_B] for mean in drawn])
    assert (dense > 70).mean() > 0.1
    assert max(mean[Tissue.CYST_A] for mean in drawn) < 40
    assert np.median([mean[Tissue.STONE] for mean in drawn]) > 400


def test_rendering_gives_each_tissue_its_number(body: Volume) -> None:
    rng = np.random.default_rng(0)
    appearance = draw_appearance(rng, Phase.UNENHANCED)
    image = render(np.asarray(body.array), appearance, rng, 4.0)
    # Outlines lie outside of the kidneys' edge: the outermost voxels are mixed with fat.
    inner = ndimage.binary_erosion(LABEL_OF_TISSUE[body.array] > 0)
    for tissue, place in ((Tissue.LIVER, True), (Tissue.CORTEX, inner), (Tissue.FAT, True)):
        own = (body.array == tissue) & place
        assert image[own].mean() == pytest.approx(appearance.mean[tissue], abs=6)


def test_noise_has_the_strength_that_the_scanner_says() -> None:
    flat = np.zeros((40, 40, 40), np.float32)
    for grain in (0.0, 1.5):
        scanner = Scanner(0.6, 1.0, 20.0, grain, 0.0)
        noisy = acquire(flat.copy(), scanner, np.random.default_rng(1), 1.0)
        assert noisy.std() == pytest.approx(20.0, rel=0.1)


def test_noise_of_thick_slices_is_shared_by_what_is_interpolated_between_them() -> None:
    def alike(slice_mm: float, axis: int) -> float:
        scanner = Scanner(0.6, slice_mm, 20.0, 0.0, 0.0)
        noisy = acquire(np.zeros((40, 40, 40), np.float32), scanner, np.random.default_rng(1), 1.5)
        noisy = np.moveaxis(noisy, axis, 0)
        return float(np.corrcoef(noisy[1:].ravel(), noisy[:-1].ravel())[0, 1])

    assert abs(alike(1.5, 0)) < 0.05
    assert alike(5.0, 0) > 0.6
    assert abs(alike(5.0, 1)) < 0.05


def test_scan_and_labels_share_a_grid_and_lie_on_the_body(body: Volume) -> None:
    scan = scan_body(body, np.random.default_rng(2), spacing=(5.0, 3.0, 3.0), matrix=140)
    assert scan.image.same_grid(scan.labels)
    assert scan.image.array.dtype == np.int16
    assert scan.image.spacing == pytest.approx((3.0, 3.0, 5.0))
    truth = body.world(np.argwhere(LABEL_OF_TISSUE[body.array] > 0)).mean(0)
    found = scan.labels.world(np.argwhere(scan.labels.array > 0)).mean(0)
    assert np.abs(truth - found).max() < 2.5
    # Kidneys are soft tissue: the image agrees with its label map.
    inside = scan.image.array[scan.labels.array == 1]
    assert -50 < np.median(inside) < 400


@pytest.mark.parametrize(
    ("mm", "matrix"), [(0.3, 1024), (0.5, 700), (0.8, 512), (1.5, 333), (3.0, 166), (12.0, 41)]
)
def test_a_spacing_alone_gives_a_field_of_view_of_a_scanner(
    body: Volume, mm: float, matrix: int
) -> None:
    spacing = (20.0, mm, mm)
    scan = scan_body(body, np.random.default_rng(2), spacing=spacing)
    assert scan.image.shape[:2] == (matrix, matrix)
    assert 300 < matrix * mm <= 500


def test_commands_with_the_same_seed_write_the_same_scans_and_say_the_field_of_view(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = partial(Cohort, body_mm=6.0)  # quick; all that is drawn is drawn
    monkeypatch.setattr("renalis.synthesis.cohort.Cohort", coarse)
    arguments = ["-n", "1", "--seed", "9", "--spacing", "40", "9", "8"]
    for name in ("a", "b"):
        assert main(["synthesize", "-o", str(tmp_path / name), *arguments]) == 0
        assert "55 rows and columns: a field of view of 495 × 440 mm" in capsys.readouterr().err
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert [str(f) for f in files] == [
        "cases.csv",
        "cohort.json",
        "images/case_00000.nii.gz",
        "labels/case_00000.nii.gz",
    ]
    assert (tmp_path / "a/cohort.json").read_text() == (tmp_path / "b/cohort.json").read_text()
    for name in files[2:]:
        one, two = nibabel.load(tmp_path / "a" / name), nibabel.load(tmp_path / "b" / name)
        assert one.shape[:2] == (55, 55)
        assert np.array_equal(np.asarray(one.dataobj), np.asarray(two.dataobj))
        assert np.array_equal(one.affine, two.affine)


def test_a_spacing_that_leaves_too_few_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "-o", str(tmp_path / "two"), "--spacing", "40", "90", "8"]) == 2
    assert "--spacing leaves fewer than 16" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "0"],
        ["--spacing", "0", "1", "1"],
        ["--spacing", "nan", "1", "1"],
        ["--spacing", "1", "inf", "1"],
        ["--matrix", "3"],
        ["--held-back", "renalis-kidney"],
        ["--labels", "nowhere"],
    ],
)
def test_impossible_requests_are_refused_with_a_sentence(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "-o", str(tmp_path / "out"), *arguments]) == 2
    assert "renalis: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["synthesize", "evaluate", "compare", "dataset split"])
@pytest.mark.parametrize("number", ["-1", "4294967296", "1.5"])
def test_seeds_out_of_range_are_refused_by_every_command(
    verb: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--seed", number]) == 2
    error = capsys.readouterr().err
    assert f"{number!r} is not a whole number from 0 to 4294967295" in error


def test_held_back_maps_are_every_tenth() -> None:
    names = [f"case_{i:05d}.nii.gz" for i in range(399)]
    kept = HeldBack(every=10, start=5).chosen(names)
    assert len(kept) == 40
    assert kept[:2] == ["case_00005.nii.gz", "case_00015.nii.gz"]


def _label_maps(folder: Path, count: int) -> Path:
    """Label maps of two kidneys each, in voxels of 6 mm."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[8:16, 16:24, 12:28] = labels[26:34, 16:24, 12:28] = 1
    folder.mkdir()
    for number in range(count):
        image = nibabel.Nifti1Image(labels, np.diag([-6.0, -6.0, 6.0, 1.0]))
        nibabel.save(image, folder / f"case_{number:05d}.nii.gz")
    return folder


def _recipe(path: Path, held_back: str) -> Path:
    """The shipped recipe with another rule for what is held back."""
    text = find_recipe("renalis-kidney").read_text(encoding="utf-8")
    path.write_text(
        re.sub("^  held_back: .*$", f"  held_back: {held_back}", text, flags=re.MULTILINE)
    )
    return path


SMALL = ("--matrix", "48", "--spacing", "12", "9", "9")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (None, "holds 3 label maps, but which ones the recipe keeps back is counted over 399"),
        ("{every: 10, start: 5}", "the recipe keeps none back"),
        ("{every: 10, start: 5, among: 3}", "the recipe keeps none back"),
        ("{every: 2, start: 0, among: 4}", "is counted over 4"),
    ],
)
def test_held_back_label_maps_are_never_replaced_by_others(
    rule: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = _label_maps(tmp_path / "maps", 3)
    recipe = _recipe(tmp_path / "mine.yaml", rule) if rule else "renalis-kidney"
    out = tmp_path / "out"
    arguments = ["--labels", str(maps), "--held-back", str(recipe)]
    assert main(["synthesize", "-o", str(out), *arguments, *SMALL]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_scans_around_held_back_label_maps_are_of_those_alone(tmp_path: Path) -> None:
    maps = _label_maps(tmp_path / "maps", 3)
    recipe = _recipe(tmp_path / "mine.yaml", "{every: 2, start: 1, among: 3}")
    cohort = Cohort(2, spacing=(12, 9, 9), matrix=48, body_mm=6.0)
    cohort = replace(cohort, held_back=load_system(str(recipe)).bodies.held_back)
    lines = list(make_cohort(cohort, maps, tmp_path / "out"))
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["case_00001", "case_00001"]


def test_the_table_says_how_far_to_the_next_phase_and_how_large_the_dose_is(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cases.csv"
    cohort = Cohort(1, spacing=(12, 9, 9), matrix=48, body_mm=6.0, phase="corticomedullary")
    assert list(make_cohort(cohort, None, tmp_path))
    names, values = path.read_text().splitlines()
    assert names.endswith(",cyst_ml,towards_next_phase,contrast_dose")
    assert all(0 <= float(value) <= 1 for value in values.split(",")[-2:])
    earlier = [line.rsplit(",", 2)[0] for line in (names, values)]
    path.write_text("\n".join(earlier) + "\n")
    assert len(list(make_cohort(replace(cohort, number=2), None, tmp_path))) == 2
    grown = path.read_text().splitlines()
    assert (grown[0], grown[1]) == (names, f"{earlier[1]},,")


def test_a_cohort_grows_but_is_not_mixed_with_another(tmp_path: Path) -> None:
    cohort = Cohort(1, spacing=(12, 9, 9), matrix=48, body_mm=6.0)
    out = tmp_path / "out"
    assert len(list(make_cohort(cohort, None, out))) == 1
    assert "there already" in next(make_cohort(replace(cohort, number=2), None, out))
    for change in ({"seed": 1}, {"matrix": 50}, {"phase": "excretory"}, {"kidneys": "single"}):
        with pytest.raises(OutputError, match=f"made with another {next(iter(change))};"):
            list(make_cohort(replace(cohort, **change), None, out))
    with pytest.raises(OutputError, match="made with another label_maps"):
        list(make_cohort(cohort, _label_maps(tmp_path / "maps", 1), out))
    (out / "cohort.json").write_text("{")
    with pytest.raises(OutputError, match="does not say how its scans were made"):
        list(make_cohort(cohort, None, out))
    (out / "cohort.json").unlink()
    with pytest.raises(OutputError, match=r"no cohort\.json"):
        list(make_cohort(cohort, None, out))


def test_a_cohort_whose_drive_goes_away_is_not_begun_anew_in_its_place(tmp_path: Path) -> None:
    cohort = Cohort(2, spacing=(12, 9, 9), matrix=48, body_mm=6.0)
    out = tmp_path / "out"
    lines = make_cohort(cohort, None, out)
    next(lines)
    take_away(out)
    with pytest.raises(OutputError, match=r"images is gone: its drive was unmounted"):
        next(lines)
    bring_back(out)
    assert ["there already" in line for line in make_cohort(cohort, None, out)] == [True, False]


def test_a_table_of_other_columns_is_not_taken_for_a_cohort(tmp_path: Path) -> None:
    cohort = Cohort(1, spacing=(12, 9, 9), matrix=48, body_mm=6.0)
    assert list(make_cohort(cohort, None, tmp_path))
    (tmp_path / "cases.csv").write_text("name,source\nx,y\n")
    with pytest.raises(OutputError, match=r"cases\.csv is not the table"):
        list(make_cohort(cohort, None, tmp_path))


def test_damaged_label_maps_are_refused_with_a_sentence(tmp_path: Path) -> None:
    path = _label_maps(tmp_path / "maps", 1) / "case_00000.nii.gz"
    packer = zlib.compressobj(wbits=31)
    begun = packer.compress(gzip.decompress(path.read_bytes())[:9000])
    # There is no block of type 3, with which the second one says to begin.
    path.write_bytes(begun + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 200)
    with pytest.raises(InputError, match="is cut short or damaged"):
        read_kits23_labels(path)


def test_scanners_are_drawn_within_clinical_limits() -> None:
    for seed in range(50):
        scanner = draw_scanner(np.random.default_rng(seed))
        assert 1 <= scanner.slice_mm <= 7.5
        assert 3 < scanner.noise_hu < 43
