"""Make ``docs/benchmarks.md`` from the figures in ``benchmarks/results``.

python benchmarks/page.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arms import HERE
from machine import in_words
from results import FOLDER

PAGE = HERE.parent / "docs" / "benchmarks.md"
ORDER = ("prediction", "prediction-real", "scaling", "preparation", "sampling", "reading",
         "startup", "evaluation")  # fmt: skip
COLUMNS = {
    "cpu_s": "CPU s",
    "wall_s": "wall s",
    "peak_mb": "peak MiB",
    "work_cpu_s": "CPU s of the work",
    "work_extra_mb": "extra MiB",
    "work_mb": "extra MiB",
    "stored_mb": "stored MB",
    "file_mb": "file MB",
    "per_cpu_s": "per CPU s",
}
_MORE_IS_BETTER = ("per_cpu_s",)
_LEADING = ("per_cpu_s", "work_cpu_s", "cpu_s")
HEAD = """# Benchmarks

Made by `make bench` (`benchmarks/run.py`); do not edit. The rivals are installed as their users
install them (`benchmarks/peers-requirements.txt`) and run in their own environment, in alternating
order with renalis, every program on one core with one thread unless it is said otherwise. Figures
are medians over the rounds that stand beside each table's title. Every run is kept in
`benchmarks/results/`, and `python benchmarks/compare.py OLD NEW` compares two.

| figure | meaning |
|---|---|
| CPU s | user and system time of the whole program, all threads |
| CPU s of the work | the same of the call that is measured alone, without start-up |
| wall s | time on the clock; longer than CPU s where other work shares the cores |
| peak MiB | most memory of the program at any time (resident, 2²⁰ bytes) |
| extra MiB | most memory of the call, beyond what the program had before |
| stored MB, file MB | on disk (10⁶ bytes) |
| times | CPU seconds of the rival / those of the first row of renalis (of the work, where both \
stand); where something is made *per CPU s*, renalis' / the rival's |
| load | processes that wanted a core as the room ended (mean of a minute); 1 is the benchmark |
| promise | a figure that the project aimed at; *not kept* and *taken back* ones stay here |

"""


def write_page() -> Path:
    """Write the page from all rooms that have figures."""
    rooms = {}
    for path in sorted(FOLDER.glob("*.json")):
        rooms[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    names = [name for name in ORDER if name in rooms]
    parts = [HEAD]
    for machine in sorted({in_words(rooms[name]["machine"]) for name in names}):
        parts.append(f"Machine: {machine}.\n\n")
    parts += [section(rooms[name]) for name in names]
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")
    return PAGE


def section(room: dict[str, Any]) -> str:
    """One room."""
    made = f"{room['made'][:10]}, commit {room['commit']}, load {room['machine']['load_at_end']}"
    model = room["extra"].get("model_version")
    if model:
        made += f", version {model} of the model"
    lines = [f"## {room['title']}", "", f"{room['inputs']}. ({made})", ""]
    for title, arms in room["tables"].items():
        lines += [f"**{title}** ({rounds(arms)})", "", *table(arms), ""]
    lines += [f"* {note}" for note in room["notes"]]
    if room["notes"]:
        lines.append("")
    if room["claims"]:
        lines += ["| promise | measured | wanted | |", "|---|---|---|---|"]
        for claim in room["claims"]:
            sign = "≥" if claim["least"] else "≤"
            verdict = "kept" if claim["holds"] else "**not kept**"
            if not claim["holds"] and claim.get("taken_back"):
                verdict = f"**taken back**: {claim['taken_back']}"
            lines.append(
                f"| {claim['what']} | {shown(claim['value'])} | {sign} {claim['target']:g} "
                f"| {verdict} |"
            )
        lines.append("")
    versions = {**room["rivals"], **room["renalis"]}
    lines += [", ".join(f"{name} {version}" for name, version in sorted(versions.items())), "", ""]
    return "\n".join(lines)


def rounds(arms: Sequence[dict[str, Any]]) -> str:
    """How many runs of each arm the medians are of."""
    counts = sorted({len(arm["runs"]) for arm in arms})
    return f"{' to '.join(map(str, counts))} {'round' if counts == [1] else 'rounds'}"


def table(arms: Sequence[dict[str, Any]]) -> list[str]:
    """Medians of every arm, and how the rivals compare with the first arm of ours."""
    used = [c for c in COLUMNS if any(c in arm["median"] for arm in arms)]
    leading = next(c for c in _LEADING if c in used)
    if leading == "per_cpu_s":
        used = ["per_cpu_s"]
    mine = next((arm["median"].get(leading) for arm in arms if arm["ours"]), None)
    titles = [COLUMNS[c] for c in used]
    lines = [f"| | {' | '.join(titles)} | times |", "|---|" + "---|" * (len(titles) + 1)]
    for arm in arms:
        values = [shown(arm["median"].get(c)) for c in used]
        theirs = arm["median"].get(leading)
        times = "" if arm["ours"] or not mine or not theirs else factor(theirs, mine, leading)
        name = f"**{arm['name']}**" if arm["ours"] else arm["name"]
        lines.append(f"| {name} | {' | '.join(values)} | {times} |")
    return lines


def factor(theirs: float, mine: float, what: str) -> str:
    """How many times as much the rival needs."""
    return f"{mine / theirs if what in _MORE_IS_BETTER else theirs / mine:.1f}"


def shown(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.4f}" if 0.9 < abs(value) < 1 else f"{value:.3g}"


if __name__ == "__main__":
    print(write_page())
