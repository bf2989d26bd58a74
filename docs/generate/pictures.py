"""Draw the documents' pictures anew: synthetic scans, segmented by the shipped model.

    python docs/generate/pictures.py [--work FOLDER] [--only NAME…]

Writes ``docs/pictures/*.webp`` and prints the volumes and Dice of ``docs/gallery.md``. Takes about
a minute a scan on one core. Pictures of real scans have terms of their own; none is in the
repository.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from renalis.io.read_labels import read_label_map

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
WIDTH = 1200
ROWS = 0.456
"""Height of a preview's heading and two rows of large pictures, as a share of its width."""


@dataclass(frozen=True)
class EmbeddedPicture:
    """A synthetic scan that the documents show."""

    name: str
    kidneys: str
    phase: str
    seed: int


SCANS = (
    EmbeddedPicture("tumor-and-cyst", "normal", "corticomedullary", 6),
    EmbeddedPicture("horseshoe", "horseshoe", "nephrographic", 21),
    EmbeddedPicture("transplant", "transplant", "nephrographic", 7),
    EmbeddedPicture("unenhanced", "normal", "unenhanced", 38),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="keep scans and results here")
    names = [one.name for one in SCANS]
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NAME")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        for one in SCANS:
            if one.name in arguments.only:
                draw(one, work / one.name)


def draw(one: EmbeddedPicture, work: Path) -> None:
    """Make the scan, segment it, keep the upper part of its preview and its page."""
    program = [sys.executable, "-m", "renalis"]
    made = ["--kidneys", one.kidneys, "--phase", one.phase, "--seed", str(one.seed)]
    scan = work / "scan"
    subprocess.run([*program, "synthesize", "-o", scan, "-n", "1", *made,
                    "--spacing", "3", "0.8", "0.8"], check=True)  # fmt: skip
    renamed = work / f"{one.name}.nii.gz"
    shutil.copyfile(scan / "images" / "case_00000.nii.gz", renamed)
    subprocess.run([*program, "segment", renamed, "-o", work / "out", "--overwrite"], check=True)
    result = work / "out" / one.name
    with Image.open(result / "preview.png") as preview:
        keep(preview.crop((0, 0, preview.width, round(preview.width * ROWS))), one.name)
    tell(scan / "labels" / "case_00000.nii.gz", result / "segmentation.nii.gz")
    if one is SCANS[0]:
        photograph(result / "report.html", work / "report.png")


def tell(drawn: Path, found: Path) -> None:
    """Volumes (ml) and Dice of each label."""
    theirs, ours = read_label_map(drawn), read_label_map(found)
    ml = abs(np.linalg.det(theirs.affine[:3, :3])) / 1000
    for label, name in enumerate(("kidney", "tumor", "cyst"), 1):
        true, said = theirs.array == label, ours.array == label
        dice = 2 * np.sum(true & said) / max(1, np.sum(true) + np.sum(said))
        print(f"| {name} | {np.sum(true) * ml:.1f} | {np.sum(said) * ml:.1f} | {dice:.2f} |")


def photograph(page: Path, into: Path) -> None:
    """The top of a report as a browser shows it, where one is installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no browser is installed; report.webp stays as it is")
        return
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = ["--window-size=1200,880", f"--screenshot={into}"]
    subprocess.run([browser, *options, *size, page.as_uri()], check=True, capture_output=True)
    with Image.open(into) as picture:
        keep(picture, "report")


def keep(picture: Image.Image, name: str) -> None:
    """Store a picture, small."""
    height = round(picture.height * WIDTH / picture.width)
    small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    PICTURES.mkdir(exist_ok=True)
    small.save(PICTURES / f"{name}.webp", quality=78, method=6)


if __name__ == "__main__":
    main()
