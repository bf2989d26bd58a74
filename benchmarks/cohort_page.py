"""What the page of a cohort takes: CPU seconds, memory, and its size.

    python benchmarks/cohort_page.py -o benchmarks/results/cohort-page.json

Makes folders of results without a network (`tests/helpers/cohort_folders.py`), each with a preview,
and gives ``renalis cohort report`` a hundred and ten thousand of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.cohort_folders import made_up_cohort
from helpers.report_case import made_up

from renalis.measurement import measure
from renalis.pipeline.folder import PREVIEW
from renalis.pipeline.table import COHORT_PAGE
from renalis.report import ReportContent, write_preview

_PROGRAM = """
import json, re, sys, time
from renalis.cli import main
code = main(sys.argv[1:])
# What the process itself held: that of the one that started it counts in `resource.getrusage`.
status = open("/proc/self/status").read()
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
print(json.dumps({"cpu_s": time.process_time(), "peak_kb": peak_kb}))
sys.exit(code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("-n", "--cases", type=int, nargs="+", default=[100, 10_000])
    arguments = parser.parse_args()
    found = []
    for cases in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measured(Path(folder), cases))
        print(json.dumps(found[-1]))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")


def measured(folder: Path, cases: int) -> dict[str, float]:
    """Figures for so many cases."""
    image, labels = made_up()
    content = ReportContent("made-up", image, labels, measure(image, labels))
    preview, out = write_preview(folder / "preview.png", content), folder / "out"
    made_up_cohort(out, cases)
    for case in out.iterdir():
        if case.is_dir():
            (case / PREVIEW).unlink()
            os.link(preview, case / PREVIEW)
    return reported(out, cases)


def reported(out: Path, cases: int) -> dict[str, float]:
    """Figures of a folder of results."""
    words = [sys.executable, "-c", _PROGRAM, "cohort", "report", str(out)]
    process = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    used = json.loads(process.stdout.splitlines()[-1])
    page = (out / COHORT_PAGE).read_text(encoding="utf-8")
    return {
        "cases": cases,
        "cpu_s": round(used["cpu_s"], 1),
        "peak_mb": round(used["peak_kb"] / 1024),
        "page_mb": round(len(page.encode()) / 1e6, 2),
        "pictures": page.count("data:image/webp"),
    }


if __name__ == "__main__":
    main()
