"""A scan of 512 x 512 x 800 voxels beside the 300 slices of it that hold the kidneys.

    python benchmarks/scaling.py [--model NAME|FILE] [--scan real|synthetic] [--rounds 3]

The cost should grow with the kidneys, not with the scan.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from arms import HERE, RENALIS, Arm, alternate
from inputs import scans
from results import Claim, Room, ratio

INPUTS = {
    "real": "Real contrast-enhanced CT (TCGA-09-2043, The Cancer Imaging Archive, CC BY 3.0), "
    "interpolated between its 3 mm slices to 800 slices of 0.6 mm, and 300 of these (180 mm)",
    "synthetic": "Synthetic CT, 800 slices of 0.45 mm, and 300 of these (135 mm)",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--scan", choices=tuple(INPUTS), default="real")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = parser.parse_args()
    if arguments.scan == "real" and not (arguments.data / "real-ct" / "tcga-ov").is_dir():
        arguments.scan = "synthetic"
    folder = scans(arguments.work, arguments.scan, arguments.data)
    arms = []
    for size, title in (("long", "800 slices"), ("part", "300 of them")):
        for name, more in (("", ()), (", --no-report", ("--no-report",))):
            output = arguments.work / f"scaling-{size}{'-lean' if more else ''}"
            words = ("segment", folder / f"{arguments.scan}-{size}.nii.gz", "-o", output)
            options = ("--overwrite", "--threads", "1", "--model", arguments.model, *more)
            arms.append(Arm(title + name, (RENALIS, *words, *options), ours=True))
    measured = alternate(arms, arguments.rounds)
    peak = max(arm.median("peak_mb") or 0 for arm in measured)
    claims = [
        Claim(f"{what} of 800 slices / of the 300{name}",
              ratio(measured, f"800 slices{name}", f"300 of them{name}", key), 1.6, least=False)
        for what, key in (("CPU seconds", "cpu_s"), ("wall seconds", "wall_s"))
        for name in ("", ", --no-report")
    ]  # fmt: skip
    claims.append(Claim("peak memory in MiB", peak, 4000, least=False))
    from renalis.model import read_header  # not before: children inherit what it takes

    room = Room(
        "scaling",
        "Long scans",
        INPUTS[arguments.scan],
        {"renalis segment": measured},
        claims,
        ["Both hold the same kidneys: the cost should grow with them, not with the scan."],
        extra={"model_version": read_header(arguments.model).version},
    )
    print(room.save())
    return 0 if all(claim.holds for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
