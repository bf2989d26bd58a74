"""Corrections: what people change in a result, kept beside it as versions, and learned from."""

from renalis.corrections.history import MODEL, Version, labels_of, newest, save, versions
from renalis.corrections.results import Result, find_results
from renalis.corrections.scans import read_case_scan

__all__ = [
    "MODEL",
    "Result",
    "Version",
    "find_results",
    "labels_of",
    "newest",
    "read_case_scan",
    "save",
    "versions",
]
