"""Draw the documents' pictures anew: synthetic scans, segmented by the shipped model.

    python docs/generate/pictures.py [--work FOLDER] [--only NAME…]

Writes ``docs/pictures/*.webp``. Takes about a minute a scan on one core. Pictures of real scans
have terms of their own; none is in the repository.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
WIDTH = 1200
UPPER = 0.66
"""Share of a preview's height that its large pictures take; below stand the small slices."""


@dataclass(frozen=True)
class Shown:
    """A synthetic scan that the documents show."""

    name: str
    kidneys: str
    phase: str
    seed: int


SCANS = (
    Shown("tumor-and-cyst", "normal", "corticomedullary", 6),
    Shown("horseshoe", "horseshoe", "nephrographic", 21),
    Shown("transplant", "transplant", "nephrographic", 7),
    Shown("unenhanced", "normal", "unenhanced", 38),
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


def draw(one: Shown, work: Path) -> None:
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
        keep(preview.crop((0, 0, preview.width, round(preview.height * UPPER))), one.name)
    if one is SCANS[0]:
        photograph(result / "report.html", work / "report.png")


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
