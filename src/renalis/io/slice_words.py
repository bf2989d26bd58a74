"""What is said of slices that do not follow each other as slices of one body do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from renalis.io.slice_sequence import SliceFaults

__all__ = ["Places", "faults_in_words", "listed_mm", "slices_in_words"]

Places = Callable[[Sequence[int]], str]
"""Where slices lie, as users know them: ``"140.0, 146.0 mm"``."""


def faults_in_words(faults: SliceFaults, places: Places) -> list[str]:
    """What cannot be mended, and does not make the other slices wrong.

    Parameters
    ----------
    faults : SliceFaults
        Of which copies and jumps are said.
    places : callable
        Gives the places of their indices.
    """
    found = []
    if faults.copies:
        found.append(
            f"{slices_in_words(len(faults.copies), 'holds', 'hold')} the same picture as the one "
            f"before, so what lies there is not known, at {places(faults.copies)}"
        )
    if faults.jumps:
        found.append(
            f"the picture changes abruptly at {places(faults.jumps)}: slices may be missing or of "
            "another scan, and lesions and volumes there are not to be trusted"
        )
    return found


def slices_in_words(count: int, one: str, several: str) -> str:
    """``"1 slice holds"``, ``"3 slices hold"``."""
    return f"1 slice {one}" if count == 1 else f"{count} slices {several}"


def listed_mm(values: Sequence[float], most: int = 12) -> str:
    """Places in words, the first few of them: ``"140.0, 146.0 and more mm"``."""
    words = ", ".join(f"{v:.1f}" for v in values[:most])
    return f"{words}{' and more' if len(values) > most else ''} mm"
