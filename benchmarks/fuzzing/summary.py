"""What was found, counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import machine

from fuzzing.isolated import Limits, Outcome, lines_of

__all__ = ["joined", "summary", "table"]


def summary(outcomes: Sequence[Outcome], seed: int, limits: Limits) -> dict[str, Any]:
    """Counts for each kind, and the findings."""
    kinds: dict[str, Any] = {}
    for kind in dict.fromkeys(one.kind for one in outcomes):
        own = [one for one in outcomes if one.kind == kind]
        well = [one for one in own if not one.finding]
        accepted = sum(one.said == "accepted" for one in well)
        changes = Counter(_plain(c) for one in own for c in one.changes)
        kinds[kind] = {
            "inputs": len(own),
            "accepted": accepted,
            "refused": len(well) - accepted,
            "findings": len(own) - len(well),
            "different_sentences": len({_plain(one.said) for one in well}),
            "different_changes": len(changes),
            "slowest_s": round(max(one.seconds for one in own), 2),
            "peak_mb": round(max(one.peak_mb for one in own)),
        }
    return {
        "seed": seed,
        "limits": {"seconds": limits.seconds, "memory_mb_beyond_loaded": limits.memory_mb},
        "machine": machine(),
        "inputs": len(outcomes),
        "kinds": kinds,
        "findings": list(lines_of(one for one in outcomes if one.finding)),
    }


def joined(facts: dict[str, Any], others: Sequence[Path]) -> dict[str, Any]:
    """The counts with those of earlier runs, whose kinds were others."""
    for path in others:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        facts["kinds"] = {**earlier["kinds"], **facts["kinds"]}
        facts["findings"] = [*earlier["findings"], *facts["findings"]]
    facts["inputs"] = sum(found["inputs"] for found in facts["kinds"].values())
    return facts


def table(facts: dict[str, Any]) -> str:
    """The counts as a table of Markdown, and the findings."""
    columns = ("inputs", "accepted", "refused", "findings", "different_sentences", "slowest_s",
               "peak_mb")  # fmt: skip
    lines = [
        "| kind | " + " | ".join(c.replace("_", " ") for c in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for kind, found in facts["kinds"].items():
        lines.append(f"| {kind} | " + " | ".join(str(found[c]) for c in columns) + " |")
    return "\n".join([*lines, *facts["findings"]])


def _plain(text: str) -> str:
    """Without what differs between inputs: numbers, names, quotations."""
    return re.sub(r"\d+(\.\d+)?|'[^']*'|\S*/\S*|[^\x20-\x7e]", "#", text)[:120]
