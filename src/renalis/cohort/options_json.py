"""How to segment, as JSON, for the processes that do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from renalis.errors import UsageError
from renalis.pipeline import SegmentOptions
from renalis.postprocessing.rules import Rules
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName, Windows

__all__ = ["options_from_json", "options_to_json"]

_KINDS: dict[str, type[StrEnum]] = {"runtime": RuntimeName, "mirror": Mirror, "windows": Windows}
_TUPLES = ("without_rules", "weights", "folds", "write")


def options_to_json(options: SegmentOptions) -> dict[str, Any]:
    """All options, those left alone too.

    Raises
    ------
    UsageError
        If the model is one in memory, which other processes cannot see.
    """
    if not isinstance(options.model, str | Path):
        raise UsageError("other processes need the model as a name, a file or a run")
    content = dataclasses.asdict(options)
    if content["prediction"] is not None:
        content["prediction"]["thresholds"] = dict(content["prediction"]["thresholds"])
    content["model"] = str(options.model)
    content["members"] = [str(path) for path in options.members]
    content["confidence"] = None if options.confidence is None else str(options.confidence)
    return content


def options_from_json(content: Mapping[str, Any]) -> SegmentOptions:
    """What `options_to_json` wrote."""
    chosen = dict(content)
    chosen |= {n: tuple(chosen[n]) for n in _TUPLES if chosen.get(n) is not None}
    chosen["members"] = tuple(Path(path) for path in chosen["members"])
    if chosen.get("confidence") is not None:
        chosen["confidence"] = Path(chosen["confidence"])
    if chosen["prediction"] is not None:
        plain: dict[str, Any] = dict(chosen["prediction"])
        plain |= {name: kind(plain[name]) for name, kind in _KINDS.items()}
        chosen["prediction"] = PredictionOptions(**plain)
    if chosen["rules"] is not None:
        default = Rules()
        chosen["rules"] = Rules(
            **{name: type(getattr(default, name))(**v) for name, v in chosen["rules"].items()}
        )
    return SegmentOptions(**chosen)
