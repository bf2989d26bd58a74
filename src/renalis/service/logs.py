"""The log: plain lines that name jobs by their ids, and nothing that names a patient."""

from __future__ import annotations

import logging
import sys
import warnings

__all__ = ["quiet_logs"]

_SAY_TOO_MUCH = ("pynetdicom", "pydicom", "dicomweb_client", "urllib3", "uvicorn", "highdicom")
"""Whose messages may quote headers, UIDs or requests."""


def quiet_logs() -> None:
    """Send the service's own lines to standard error, and those of other packages nowhere."""
    ours = logging.getLogger("renalis.service")
    ours.setLevel(logging.INFO)
    ours.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours.handlers[:] = [handler]
    for name in _SAY_TOO_MUCH:
        other = logging.getLogger(name)
        other.setLevel(logging.CRITICAL + 1)
        other.propagate = False
        other.handlers[:] = [logging.NullHandler()]
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")  # pydicom's quote values
