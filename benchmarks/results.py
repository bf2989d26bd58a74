"""Figures of one room: kept as JSON, printed as a table, compared between two commits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from arms import HERE, PEERS, Measured
from machine import machine

FOLDER = HERE / "results"
PACKAGES = ("renalis", "torch", "openvino", "numpy", "scipy", "nibabel", "SimpleITK", "monai",
            "nnunetv2", "batchgeneratorsv2", "TotalSegmentator", "scikit-image")  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A number that was promised.

    Attributes
    ----------
    what : str
        In words.
    value : float
        Measured.
    target : float
        Promised.
    least : bool
        Whether the target is a least value; otherwise a largest one.
    taken_back : str
        Why it is promised no longer, where it is not kept; the page says so.
    """

    what: str
    value: float | None
    target: float
    least: bool = True
    taken_back: str = ""

    @property
    def broken(self) -> bool:
        """Whether it is promised still, and not kept."""
        return not self.holds and not self.taken_back

    @property
    def holds(self) -> bool:
        """Whether the promise is kept; not when there is no value."""
        if self.value is None:
            return False
        return self.value >= self.target if self.least else self.value <= self.target


@dataclass
class Room:
    """What one benchmark found.

    Attributes
    ----------
    name, title : str
        File name, and heading of its section.
    inputs : str
        What was measured on, in words.
    tables : dict
        Title to arms; the first arm that is ours is what the rivals are divided by.
    claims : list of Claim
        Promises.
    notes : list of str
        What a reader has to know.
    extra : dict
        Anything else worth keeping.
    """

    name: str
    title: str
    inputs: str
    tables: dict[str, list[Measured]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path = FOLDER) -> Path:
        """Write ``<name>.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "room": self.name,
            "title": self.title,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "renalis": versions(Path(sys.executable)),
            "rivals": versions(PEERS) if PEERS.exists() else {},
            "inputs": self.inputs,
            "tables": {t: [arm.as_json() for arm in arms] for t, arms in self.tables.items()},
            "claims": [asdict(claim) | {"holds": claim.holds} for claim in self.claims],
            "notes": self.notes,
            "extra": self.extra,
        }
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


def ratio(arms: Sequence[Measured], rival: str, ours: str, what: str = "cpu_s") -> float | None:
    """Median of a rival divided by ours."""
    medians = {arm.name: arm.median(what) for arm in arms}
    theirs, mine = medians.get(rival), medians.get(ours)
    return theirs / mine if theirs is not None and mine else None


def commit() -> str:
    """Short hash of the commit, with ``+`` if files differ from it."""
    words = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def versions(python: Path) -> dict[str, str]:
    """Versions of the packages that matter in an environment."""
    names = PACKAGES
    if python == Path(sys.executable):
        found = {}
        for name in names:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return found
    code = (
        "import json,sys\nfrom importlib import metadata as m\nf={}\n"
        "for n in sys.argv[1:]:\n"
        " try: f[n]=m.version(n)\n except m.PackageNotFoundError: pass\nprint(json.dumps(f))"
    )
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return dict(found)
