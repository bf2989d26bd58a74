"""Whether highdicom, which writes DICOM Segmentations, is installed; it is an optional extra."""

from __future__ import annotations

import importlib.util

from renalis.errors import UsageError

__all__ = ["check_highdicom"]


def check_highdicom() -> None:
    """Refuse to begin without highdicom.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise UsageError(
            "--write dicom-seg needs highdicom, which is not installed: "
            "pip install 'renalis[dicom-seg]', or leave dicom-seg out"
        )
