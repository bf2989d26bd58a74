"""Put the counts of ``results/fuzz.json`` into ``docs/security.md``.

python benchmarks/fuzz_page.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from fuzzing.summary import table

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "security.md"


def main() -> None:
    """Write the table."""
    facts = json.loads((HERE / "results" / "fuzz.json").read_text(encoding="utf-8"))
    words = (
        f"{facts['inputs']} inputs, seed {facts['seed']}, {len(facts['findings'])} findings; peak "
        "memory of the process with all that is loaded:"
    )
    text = PAGE.read_text(encoding="utf-8")
    marks = r"(<!-- fuzzed: [^>]*-->\n).*?(<!-- end of fuzzed -->)"
    inside = f"{words}\n\n{table(facts)}\n"
    text = re.sub(marks, lambda m: m[1] + inside + m[2], text, count=1, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
