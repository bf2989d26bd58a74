"""Training patches per second of one core: beside nnU-Net with batchgeneratorsv2, and MONAI.

    python benchmarks/sampling.py [--rounds 3] [--count 20]

3D: a window with a margin is read from the stored case, then rotated, scaled, mirrored, given
noise, brightness and contrast, each time; MONAI has the whole case in memory already. 2D: slices
from memory maps beside those that nnU-Net reads from its compressed case, and beside cutting them
out of whole volumes, as the systems that were rebuilt here did.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from arms import HERE, PEERS, Arm, alternate, run
from inputs import scans
from preparation import GRIDS, NNUNET, OURS, OURSELVES, PYTHON, case_arms
from results import Claim, Room, ratio

PATCHES, THEIRS = "renalis sampler", "nnU-Net dataset, batchgeneratorsv2"
MONAI = "MONAI transforms, case in memory"
SLICES, NPY, NII = "renalis slices", "whole .npy, then a slice", "whole .nii.gz, then a slice"
NNUNET_SLICES = "nnU-Net dataset, a slice"


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
    made = scans(work, "synthetic")
    scan, labels = made / "synthetic.nii.gz", made / "synthetic-truth.nii.gz"
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
        Arm(NNUNET_SLICES, (PEERS, script, "slices", theirs, many)),
        Arm(NPY, (*reading, "npy", array, few)),
        Arm(NII, (*reading, "nibabel", scan, few)),
    ]
    measured, flat = alternate(patches, rounds), alternate(slices, rounds)
    speeds = [ratio(measured, name, PATCHES, "per_cpu_s") for name in (THEIRS, MONAI)]
    fast = [ratio(flat, name, SLICES, "per_cpu_s") for name in (NNUNET_SLICES, NPY)]
    return Room(
        "sampling",
        "Training patches",
        "A synthetic CT of 512 × 512 × 300 voxels and its labels, prepared on a grid of 0.9 mm "
        f"({' × '.join(map(str, np.load(array, mmap_mode='r').shape))} voxels) and stored by each "
        "program in its own way; 3D patches of 96³ voxels cut from 128³; 2D slices across the body",
        {"Augmented 3D patches": measured, "2D slices": flat},
        [
            Claim("3D patches per second, ours / nnU-Net's", inverse(speeds[0]), 1.0),
            Claim("3D patches per second, ours / MONAI's", inverse(speeds[1]), 1.0),
            Claim("2D slices per second, ours / nnU-Net's", inverse(fast[0]), 1.0),
            Claim("2D slices per second, ours / from whole .npy volumes", inverse(fast[1]), 5.0),
        ],
        [
            "*Per CPU s*: patches or slices per CPU second of one core; more is better. Files lie "
            "in the system's cache.",
            "3D: all three rotate, scale, mirror, add noise, change brightness and contrast, each "
            "of it in every patch, with linear interpolation of the image and nearest of labels; "
            "each with its own transforms, so that patches are alike, not equal.",
            "2D: image and labels of one slice, not augmented. Both last rows read a whole volume "
            "for each slice, of the image alone, as the published programs did whose recipes are "
            "rebuilt here.",
        ],
    )


def inverse(value: float | None) -> float | None:
    return 1 / value if value else None


if __name__ == "__main__":
    sys.exit(main())
