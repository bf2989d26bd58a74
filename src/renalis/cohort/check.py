"""Whether the results of a cohort are still those that its manifest lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalis.cohort.manifest import newest_lines
from renalis.errors import InputError
from renalis.io.scan import shown
from renalis.pipeline.folder import file_sha256, provenance
from renalis.pipeline.table import MANIFEST

__all__ = ["CohortCheck", "Finding", "check_cohort"]


@dataclass(frozen=True)
class Finding:
    """A file that is not as it was written.

    Attributes
    ----------
    case, file : str
        Whose, and its name in the case's folder.
    what : {"missing", "altered", "unreadable"}
        What became of it.
    """

    case: str
    file: str
    what: str


@dataclass
class CohortCheck:
    """What a check found.

    Attributes
    ----------
    cases, files : int
        With results, and files that were read.
    findings : list of Finding
        Empty if all is as it was written.
    failed : dict
        Sentences of cases that failed at last, by name.
    unlisted : list of str
        Folders of results of which the manifest says nothing.
    """

    cases: int = 0
    files: int = 0
    findings: list[Finding] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "cases": self.cases,
            "files": self.files,
            "findings": [vars(finding) for finding in self.findings],
            "failed": self.failed,
            "unlisted": self.unlisted,
        }


def check_cohort(output: Path, progress: Callable[[str], None] | None = None) -> CohortCheck:
    """Read all files that the manifest lists and compare their hashes; nothing is changed.

    Parameters
    ----------
    output : Path
        Folder of ``renalis segment``.
    progress : callable, optional
        Is told the name of each case.

    Raises
    ------
    InputError
        If there is no manifest.
    """
    if not (output / MANIFEST).is_file():
        raise InputError(
            f"{shown(output)} holds no {MANIFEST}; give the -o folder of a renalis segment with "
            "several scans or --jobs"
        )
    found = CohortCheck()
    listed: set[str] = set()
    for newest, with_results in newest_lines(output):
        case = str(newest["case"])
        listed.add(case)
        if newest["status"] == "failed":
            found.failed[case] = str(newest.get("problem", ""))
        if with_results is not None:
            if progress is not None:
                progress(case)
            found.cases += 1
            for name, digest in with_results["outputs"].items():
                found.files += 1
                what = _compared(output, case, str(name), str(digest))
                if what:
                    found.findings.append(Finding(case, str(name), what))
    found.unlisted = sorted(
        folder.name
        for folder in output.iterdir()
        if not folder.name.startswith(".")
        and folder.name not in listed
        and folder.is_dir()
        and provenance(folder) is not None
    )
    return found


def _compared(output: Path, case: str, name: str, digest: str) -> str:
    """What is wrong with a file; empty if nothing is."""
    if not _below(case) or not _below(name):
        return "unreadable"  # a manifest that somebody wrote leads nowhere else
    try:
        now = file_sha256(output / case / name)
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
    return "" if now == digest else "altered"


def _below(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts)
