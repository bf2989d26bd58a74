"""One training case prepared by renalis and by nnU-Net's default way, to the same voxels.

    python benchmarks/preparation.py [--rounds 3]

Both read scan and labels, clip, resample with cubic splines (labels linearly), and store what
training reads. Then the stored images are compared. Cubic resampling alone is measured beside
nnU-Net's, scikit-image's, SciPy's, TotalSegmentator's and SimpleITK's.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from arms import HERE, PEERS, Arm, Measured, alternate, run
from inputs import scans
from results import Claim, Room, ratio

GRIDS = {"0.9 mm": (0.9, 0.9, 0.9), "3.22 × 1.62 × 1.62 mm": (3.22, 1.62, 1.62)}
OURS, NNUNET = "renalis", "nnU-Net DefaultPreprocessor"
METHODS = {
    "nnU-Net resample_data_or_seg": "nnunet",
    "scikit-image resize": "skimage",
    "SciPy zoom": "scipy",
    "TotalSegmentator resample_img": "totalsegmentator",
    "SimpleITK B-spline": "simpleitk",
}
PYTHON, OURSELVES = Path(sys.executable), HERE / "preparation_ours.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    arguments = parser.parse_args()
    room = compare(arguments.work, arguments.rounds)
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


def compare(work: Path, rounds: int) -> Room:
    """Measure on every grid."""
    folder = scans(work, "synthetic")
    scan, labels = folder / "synthetic.nii.gz", folder / "synthetic-truth.nii.gz"
    room = Room(
        "preparation",
        "Preparing one training case",
        "Scan and labels of 512 × 512 × 300 voxels of 0.84 × 0.84 × 1.2 mm (synthetic CT), "
        ".nii.gz; HU clipped to −200…400, cubic splines, labels linearly",
        notes=[
            "*Of the work*: without starting Python and importing packages. *Read, prepare, "
            "store* is nnU-Net's `DefaultPreprocessor.run_case_save` with the resampling that its "
            "planner writes, and renalis' way to the same voxels; nnU-Net's also lists places of "
            "every class, from which it draws patches, and compresses with Blosc2, which is why "
            "it stores less: renalis stores whole HU uncompressed, so that training reads a patch "
            "from a memory map.",
            "*Cubic resampling alone*: the scan is in memory, a single call is measured. Images "
            "differ by half a HU because ours are rounded to whole ones.",
        ],
    )
    for title, spacing in GRIDS.items():
        mm = [str(size) for size in spacing]
        case = case_arms(scan, labels, work, mm)
        measured = []
        for number in range(rounds):  # nothing may be there already
            for folder in ("prepared-ours", "prepared-nnunet"):
                shutil.rmtree(work / folder, ignore_errors=True)
            found = alternate(case if number % 2 == 0 else case[::-1], 1)
            measured.append({arm.name: arm.runs[0] for arm in found})
        arms = [Measured(arm.name, arm.ours, [one[arm.name] for one in measured]) for arm in case]
        room.tables[f"Read, prepare, store: grid of {title}"] = arms
        room.claims.append(
            Claim(f"CPU seconds of nnU-Net / ours, {title}",
                  ratio(arms, NNUNET, OURS, "work_cpu_s"), 15)
        )  # fmt: skip
        room.extra[title] = same = agreement(work, mm)
        room.claims.append(
            Claim(f"largest difference of the images in HU, {title}",
                  same["largest_hu"], 1.0, least=False)
        )  # fmt: skip
        alone = [Arm(OURS, (PYTHON, OURSELVES, "resample", scan, *mm), ours=True)]
        alone += [
            Arm(name, (PEERS, HERE / "peers" / "resampling.py", method, scan, *mm))
            for name, method in METHODS.items()
        ]
        room.tables[f"Cubic resampling alone: grid of {title}"] = alternate(alone, rounds)
    return room


def case_arms(scan: Path, labels: Path, work: Path, mm: list[str]) -> list[Arm]:
    """Both programs on one grid."""
    theirs = (PEERS, HERE / "peers" / "nnunet_preparation.py", "case", scan, labels)
    return [
        Arm(OURS, (PYTHON, OURSELVES, "case", scan, labels, work / "prepared-ours", *mm), True),
        Arm(NNUNET, (*theirs, work / "prepared-nnunet", *mm)),
    ]


def agreement(work: Path, mm: list[str]) -> dict:
    """How far the stored arrays differ."""
    exported = work / "prepared-nnunet.npz"
    script = HERE / "peers" / "nnunet_preparation.py"
    run(Arm("export", (PEERS, script, "export", work / "prepared-nnunet", exported)))
    words = (PYTHON, OURSELVES, "compare", work / "prepared-ours", exported, *mm)
    same = run(Arm("compare", words))
    return {name: same[name] for name in ("largest_hu", "mean_hu", "labels_equal",
                                          "foreground_equal", "shape")}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
