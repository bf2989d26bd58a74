"""Which faults of a series show in the file made of it, and how many whole scans seem to have one.

    python benchmarks/slice_faults.py --spoil SCAN [SCAN ...] --whole DIR [DIR ...] -o FILE.json

Slices of the scans after ``--spoil`` are left out, exchanged, repeated or replaced, at places all
over each scan; those below ``--whole`` are looked at as they are. Counts findings, and CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import machine
from numpy.typing import NDArray
from results import commit

from renalis.io import find_scans, read_scan
from renalis.io.volume_slices import slice_doubts
from renalis.volume import Volume

Pixels = NDArray[np.int16]
PLACES = 6
"""Of a fault, in each scan."""
GAPS_MM = (6, 12, 25, 50)


def swapped(hu: Pixels, k: int, apart: int) -> Pixels:
    """Two slices have changed places."""
    order = np.arange(len(hu))
    order[[k, k + apart]] = k + apart, k
    return hu[order]


def turned(hu: Pixels, k: int) -> Pixels:
    """Sixteen slices lie the other way round."""
    return np.concatenate([hu[: k - 8], hu[k - 8 : k + 8][::-1], hu[k + 8 :]])


FAULTS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "a slice holds the one before": lambda hu, k: hu[[*range(k), k - 1, *range(k + 1, len(hu))]],
    "a slice from the other half": lambda hu, k: hu[
        [*range(k), (k + len(hu) // 2) % len(hu), *range(k + 1, len(hu))]
    ],
    "two neighbors exchanged": lambda hu, k: swapped(hu, k, 1),
    "two slices exchanged, five apart": lambda hu, k: swapped(hu, k, 5),
    "sixteen slices turned round": turned,
    "the end glued before the beginning": lambda hu, k: np.concatenate([hu[k:], hu[:k]]),
    "in the order of names (1, 10, 11, 2)": lambda hu, k: hu[sorted(range(len(hu)), key=str)],
}


def spoiled(volume: Volume) -> Iterator[tuple[str, Pixels]]:
    """Every fault at several places of a scan in canonical orientation."""
    hu, step = volume.array, volume.spacing[0]
    for k in np.linspace(12, len(hu) - 13, PLACES).astype(int).tolist():
        for name, change in FAULTS.items():
            yield name, change(hu, k)
        for mm in GAPS_MM:
            count = max(1, round(mm / step))
            if k + count < len(hu) - 8:
                yield f"{mm} mm missing", np.delete(hu, range(k, k + count), axis=0)


def timed(volume: Volume) -> tuple[bool, float]:
    """Whether anything is found, and the CPU seconds that it took."""
    began = time.process_time()
    found = slice_doubts(volume)
    return bool(found), time.process_time() - began


def main() -> int:
    """Spoil, look, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spoil", type=Path, nargs="+", default=[], metavar="SCAN")
    parser.add_argument("--whole", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    seen: dict[str, list[bool]] = {}
    whole: dict[str, bool] = {}
    seconds: list[float] = []
    for path in arguments.spoil:
        volume = read_scan(path).volume
        whole[path.parent.name], took = timed(volume)
        seconds.append(took)
        canonical = volume.reoriented()
        for name, hu in spoiled(canonical):
            seen.setdefault(name, []).append(timed(Volume(hu, canonical.affine))[0])
    for source in find_scans(arguments.whole) if arguments.whole else ():
        volume = read_scan(source).volume
        whole[f"{source.path.parent.name}/{source.case_id}"], took = timed(volume)
        seconds.append(took)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "seen": {name: {"of": len(found), "seen": sum(found)} for name, found in seen.items()},
        "whole scans": len(whole),
        "false alarms": [name for name, found in whole.items() if found],
        "cpu_s": {"median": round(float(np.median(seconds)), 3), "most": round(max(seconds), 3)},
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
