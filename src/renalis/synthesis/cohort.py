"""Cohorts of synthetic scans on disk: ``images/``, ``labels/``, ``cases.csv``, ``cohort.json``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from renalis.conventions import Label
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, OutputError
from renalis.io import write_text, write_volume
from renalis.synthesis.anatomy import compose
from renalis.synthesis.label_maps import (
    HeldBack,
    held_back_maps,
    invented_labels,
    label_maps,
    read_kits23_labels,
)
from renalis.synthesis.scan import SyntheticScan, matrix_for, scan_body
from renalis.synthesis.tissues import Phase

__all__ = ["Cohort", "make_cohort", "make_scan"]

_HEADER = (
    "case",
    "source",
    "phase",
    "slice_mm",
    "spacing_mm",
    "noise_hu",
    "kidney_ml",
    "tumor_ml",
    "cyst_ml",
    "towards_next_phase",
    "contrast_dose",
)
_LATER = frozenset(_HEADER[-2:])
"""Columns that tables of earlier versions lack; empty for their scans."""


@dataclass(frozen=True)
class Cohort:
    """What to make.

    Attributes
    ----------
    number : int
        Scans.
    seed : int
        Scan ``i`` follows from the seed and ``i``.
    spacing : tuple of float or None
        Slice, row and column spacing in mm; None draws clinical ones.
    matrix : int or None
        Rows and columns; None: what gives a scanner's field of view (``matrix_for``).
    phase, kidneys : str or None
        Contrast phase and kind of invented kidneys; None draws them.
    held_back : HeldBack or None
        Use these label maps only, as they are: no lesion is added and no kidney removed.
    body_mm : float
        Voxel size of the body before it is scanned.
    """

    number: int
    seed: int = 0
    spacing: tuple[float, float, float] | None = None
    matrix: int | None = None
    phase: str | None = None
    kidneys: str | None = None
    held_back: HeldBack | None = None
    body_mm: float = 1.5


def make_scan(cohort: Cohort, number: int, maps: list[Path]) -> tuple[SyntheticScan, str]:
    """Scan ``number`` of a cohort and the name of the label map it was built around.

    Parameters
    ----------
    cohort : Cohort
        What to make.
    number : int
        Which scan.
    maps : list of Path
        Label maps; if empty, the kidneys are invented.
    """
    rng = np.random.default_rng((cohort.seed, 2, number))
    if maps:
        path = maps[number % len(maps)]
        labels, source = read_kits23_labels(path), path.name.split(".")[0]
    else:
        labels, source = invented_labels(rng, cohort.kidneys), "invented"
    body = compose(labels, rng, cohort.body_mm, vary=bool(maps) and cohort.held_back is None)
    phase = Phase(cohort.phase) if cohort.phase else None
    return scan_body(body, rng, cohort.spacing, cohort.matrix, phase), source


def make_cohort(cohort: Cohort, labels: Path | None, folder: Path) -> Iterator[str]:
    """Write a cohort; yields a line per scan. Scans that are there already are kept.

    Raises
    ------
    InputError
        If ``labels`` holds no label maps, or not those that ``held_back`` chooses among.
    OutputError
        If the folder cannot be written, or holds scans that were made with other options.
    """
    maps = _maps(cohort, labels)
    try:
        _claim(folder, _made_with(cohort, maps))
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        rows = _known_rows(folder / "cases.csv")
        for number in range(cohort.number):
            case = f"case_{number:05d}"
            image_path = folder / "images" / f"{case}.nii.gz"
            label_path = folder / "labels" / f"{case}.nii.gz"
            if case in rows and image_path.exists() and label_path.exists():
                yield f"{case}: there already"
                continue
            scan, source = make_scan(cohort, number, maps)
            for path, volume in ((image_path, scan.image), (label_path, scan.labels)):
                check_not_gone(path.parent)
                write_volume(path, volume)
            check_not_gone(label_path.parent)
            rows[case] = _row(case, source, scan)
            _write_rows(folder / "cases.csv", rows)
            yield f"{case}: {scan.phase}, {scan.image.shape[2]} slices, from {source}"
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error


def _maps(cohort: Cohort, folder: Path | None) -> list[Path]:
    """The label maps to build around; none: kidneys are invented."""
    maps = label_maps(folder) if folder else []
    if cohort.held_back is None:
        return maps
    if folder is None:
        raise InputError("label maps are held back, but none are given; give their folder")
    held = held_back_maps(cohort.held_back, maps, folder)
    if not held:
        raise InputError(
            f"of the {len(maps)} label maps in {folder} the recipe keeps none back; give a folder "
            "with more of them"
        )
    return held


def _made_with(cohort: Cohort, maps: list[Path]) -> dict[str, Any]:
    """All that scan ``i`` depends on; not the number of scans, so that a cohort can grow."""
    held = cohort.held_back
    return {
        "seed": cohort.seed,
        "spacing": list(cohort.spacing) if cohort.spacing else None,
        "matrix": cohort.matrix or matrix_for(cohort.spacing),
        "phase": cohort.phase,
        "kidneys": cohort.kidneys,
        "held_back": held and {"every": held.every, "start": held.start, "among": held.among},
        "body_mm": cohort.body_mm,
        "label_maps": [path.name for path in maps],
    }


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Write ``cohort.json``, or check that the scans which are there were made in the same way."""
    path = folder / "cohort.json"
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        stored = None
    except ValueError as error:
        raise OutputError(
            f"{path} does not say how its scans were made; choose another folder"
        ) from error
    if stored is None:
        if (folder / "cases.csv").exists() or any((folder / "images").glob("*.nii*")):
            raise OutputError(
                f"{folder} holds scans, but no cohort.json that says how they were made; choose "
                "another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(wanted, indent=1) + "\n")
    elif stored != wanted:
        known = stored if isinstance(stored, dict) else {}
        other = ", ".join(key for key in wanted if known.get(key) != wanted[key])
        raise OutputError(
            f"{folder} holds scans that were made with another {other or 'version'}; repeat those "
            "options, or choose another folder"
        )


def _row(case: str, source: str, scan: SyntheticScan) -> dict[str, str]:
    counts = np.bincount(scan.labels.array.ravel(), minlength=4) * scan.labels.voxel_ml
    spacing = scan.image.spacing
    values = (
        case,
        source,
        str(scan.phase),
        f"{spacing[2]:.3f}",
        f"{spacing[0]:.4f}",
        f"{scan.scanner.noise_hu:.1f}",
        f"{counts[Label.KIDNEY]:.2f}",
        f"{counts[Label.TUMOR]:.2f}",
        f"{counts[Label.CYST]:.2f}",
        f"{scan.towards_next:.2f}",
        f"{scan.dose:.2f}",
    )
    return dict(zip(_HEADER, values, strict=True))


def _known_rows(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        wanted = set(_HEADER)
        if any(
            wanted - row.keys() - _LATER or row.keys() - wanted or None in row.values()
            for row in rows
        ):
            raise ValueError("its columns are others")
    except (ValueError, csv.Error) as error:
        raise OutputError(
            f"{path} is not the table that renalis synthesize writes ({error}); choose another "
            "folder"
        ) from error
    return {row["case"]: row for row in rows}


def _write_rows(path: Path, rows: dict[str, dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[case] for case in sorted(rows))
    write_text(path, text.getvalue())
