"""Synthetic scans look like CT in numbers, lie where the body lies, and follow from the seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from renalis.cli import main
from renalis.recipes import HeldBack
from renalis.synthesis.anatomy import compose
from renalis.synthesis.appearance import draw_appearance, render
from renalis.synthesis.scan import scan_body
from renalis.synthesis.scanner import Scanner, acquire, draw_scanner
from renalis.synthesis.shapes import invented_labels
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


def test_rendering_gives_each_tissue_its_number(body: Volume) -> None:
    rng = np.random.default_rng(0)
    appearance = draw_appearance(rng, Phase.UNENHANCED)
    image = render(np.asarray(body.array), appearance, rng, 4.0)
    for tissue in (Tissue.LIVER, Tissue.CORTEX, Tissue.FAT):
        assert image[body.array == tissue].mean() == pytest.approx(appearance.mean[tissue], abs=6)


def test_noise_has_the_strength_that_the_scanner_says() -> None:
    flat = np.zeros((40, 40, 40), np.float32)
    for grain in (0.0, 1.5):
        scanner = Scanner(0.6, 1.0, 20.0, grain, 0.0)
        noisy = acquire(flat.copy(), scanner, np.random.default_rng(1), 1.0)
        assert noisy.std() == pytest.approx(20.0, rel=0.1)


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


def test_commands_with_the_same_seed_write_the_same_scans(tmp_path: Path) -> None:
    arguments = ["-n", "1", "--seed", "9", "--matrix", "64", "--spacing", "8", "6", "6"]
    for name in ("a", "b"):
        assert main(["synthesize", "-o", str(tmp_path / name), *arguments]) == 0
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert [str(f) for f in files] == [
        "cases.csv",
        "images/case_00000.nii.gz",
        "labels/case_00000.nii.gz",
    ]
    import nibabel

    for name in files[1:]:
        one, two = nibabel.load(tmp_path / "a" / name), nibabel.load(tmp_path / "b" / name)
        assert np.array_equal(np.asarray(one.dataobj), np.asarray(two.dataobj))
        assert np.array_equal(one.affine, two.affine)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "0"],
        ["--spacing", "0", "1", "1"],
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


def test_held_back_maps_are_every_tenth() -> None:
    names = [f"case_{i:05d}.nii.gz" for i in range(399)]
    kept = HeldBack(every=10, start=5).chosen(names)
    assert len(kept) == 40
    assert kept[:2] == ["case_00005.nii.gz", "case_00015.nii.gz"]


def test_scanners_are_drawn_within_clinical_limits() -> None:
    for seed in range(50):
        scanner = draw_scanner(np.random.default_rng(seed))
        assert 1 <= scanner.slice_mm <= 5
        assert 3 < scanner.noise_hu < 40
