"""Kinds of hostile input, and how they are tried (`benchmarks/fuzz.py`)."""

from __future__ import annotations

from fuzzing.kinds import KINDS, Kind

__all__ = ["KINDS", "Kind"]
