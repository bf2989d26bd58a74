"""Training patches per second of one core: beside nnU-Net with batchgeneratorsv2, and MONAI.

    python benchmarks/sampling.py [--rounds 3] [--count 20]

3D: a window with a margin is read from the stored case, then rotated, scaled, mirrored, given
noise, brightness and contrast, each time; MONAI has the whole case in memory already. 2D: slices
from memory maps beside cutting them out of whole volumes, as the systems that were rebuilt here
did.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from arms import HERE, PEERS, Arm, alternate, run
from preparation import GRIDS, NNUNET, OURS, OURSELVES, PYTHON, case_arms
from results import Claim, Room, ratio

PATCHES, THEIRS = "renalis sampler", "nnU-Net dataset, batchgeneratorsv2"
MONAI = "MONAI transforms, case in memory"
SLICES, NPY, NII = "renalis slices", "whole .npy, then a slice", "whole .nii.gz, then a slice"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20, help="patches per run")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    arguments = parser.parse_args()
    room = compare(arguments.work, arguments.rounds, arguments.count)
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


def compare(work: Path, rounds: int, count: int) -> Room:
    """Prepare one case each, then draw."""
    mm = [str(size) for size in GRIDS["0.9 mm"]]
    scan, labels = work / "scans" / "synthetic.nii.gz", work / "scans" / "synthetic-truth.nii.gz"
    if not scan.exists():
        run(Arm("make the scan", (PYTHON, HERE / "scans.py", "synthetic", scan.parent)), threads=2)
    ours, theirs = work / "sampled-ours", work / "sampled-nnunet"
    makers = {arm.name: arm for arm in case_arms(scan, labels, work, mm)}
    for name, folder, old in ((OURS, ours, "prepared-ours"), (NNUNET, theirs, "prepared-nnunet")):
        if not folder.exists():
            words = [folder if word == work / old else word for word in makers[name].command]
            run(Arm(name, tuple(words)))
    (array,) = ours.glob("*/case-image.npy")
    script = HERE / "peers" / "nnunet_preparation.py"
    reading = (PEERS, HERE / "peers" / "reading.py", "slices")
    many, few = str(count * 50), str(max(3, count // 4))
    patches = [
        Arm(PATCHES, (PYTHON, OURSELVES, "patches", ours, *mm, str(count)), ours=True),
        Arm(THEIRS, (PEERS, script, "patches", theirs, str(count))),
        Arm(
            MONAI,
            (
                PEERS,
                script.with_name("monai_sampling.py"),
                array,
                array.with_name("case-label.npy"),
                str(count),
            ),
        ),
    ]
    slices = [
        Arm(SLICES, (PYTHON, OURSELVES, "slices", ours, *mm, many), ours=True),
        Arm(NPY, (*reading, "npy", array, few)),
        Arm(NII, (*reading, "nibabel", scan, few)),
    ]
    measured, flat = alternate(patches, rounds), alternate(slices, rounds)
    speeds = [ratio(measured, name, PATCHES, "per_cpu_s") for name in (THEIRS, MONAI)]
    fast = ratio(flat, NPY, SLICES, "per_cpu_s")
    return Room(
        "sampling",
        "Training patches",
        "One case of 512 × 512 × 300 voxels on a grid of 0.9 mm, stored by each program in its "
        "own way; patches of 96³ voxels cut from 128³; slices of 444 × 444",
        {"Augmented 3D patches": measured, "2D slices": flat},
        [
            Claim("3D patches per second, ours / nnU-Net's", inverse(speeds[0]), 1.0),
            Claim("3D patches per second, ours / MONAI's", inverse(speeds[1]), 1.0),
            Claim("2D slices per second, ours / from whole .npy volumes", inverse(fast), 5.0),
        ],
        ["Files in the system's cache. per_cpu_s: so many per CPU second; more is better."],
    )


def inverse(value: float | None) -> float | None:
    return 1 / value if value else None


if __name__ == "__main__":
    sys.exit(main())
