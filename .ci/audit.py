"""Compare locked packages with known weaknesses, and say what was not compared.

    python .ci/audit.py PIP-AUDIT requirements.lock

``pip-audit`` ends well where an index has no advisories: it then leaves out every package. Here
that is no success. Exit code 0: all packages were compared and none has a known weakness; 1: some
have; 2: some, or all, could not be compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

OPTIONS = ("--no-deps", "--disable-pip", "--desc", "off", "--progress-spinner", "off", "-f", "json")


def main(words: Sequence[str]) -> int:
    """Run the program, say what it found."""
    program, lock = words
    ran = subprocess.run(
        [program, "--requirement", lock, *OPTIONS], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        found = []
    code, sentences = verdict(found, lock)
    print("\n".join(sentences), file=sys.stderr if code else sys.stdout)
    return code


def verdict(found: Sequence[Mapping[str, Any]], lock: str) -> tuple[int, list[str]]:
    """Exit code and sentences for what ``pip-audit`` wrote of each package, if anything."""
    weak = [one for one in found if one.get("vulns")]
    left = [str(one["name"]) for one in found if "skip_reason" in one]
    sentences = [_weakness(one) for one in weak]
    if len(left) == len(found):
        sentences.append(
            f"{lock} was not audited: no advisories can be reached from here; run make audit where "
            "pypi.org can be reached"
        )
    elif left:
        sentences.append(
            f"{len(left)} of {len(found)} packages were not audited, of which the index has no "
            f"advisories: {', '.join(left)}"
        )
    elif not weak:
        sentences.append(f"{len(found)} packages audited, none with a known weakness")
    return (2 if len(left) == len(found) else 1 if weak else 2 if left else 0), sentences


def _weakness(one: Mapping[str, Any]) -> str:
    known = ", ".join(str(each["id"]) for each in one["vulns"])
    fixed = sorted({str(v) for each in one["vulns"] for v in each.get("fix_versions", ())})
    cure = f"take {' or '.join(fixed)}" if fixed else "there is no version without"
    return f"{one['name']} {one['version']} has known weaknesses ({known}); {cure}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
