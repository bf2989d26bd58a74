"""NIfTI headers as nibabel parses them, without pydicom.

``import nibabel`` imports pydicom as well, and with it decoders of pixels and a client for the web,
for an extension of NIfTI files that holds DICOM elements and that is never read here: two thirds
of its time. So its import is made to fail, which nibabel is prepared for. If a program has
imported either before renalis, nothing is changed.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["HeaderDataError", "Nifti1Header", "Nifti2Header"]


def _imported() -> Any:
    """The package, imported without pydicom."""
    if "nibabel" in sys.modules or "pydicom" in sys.modules:
        return importlib.import_module("nibabel")
    sys.modules["pydicom"] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        return importlib.import_module("nibabel")
    finally:
        del sys.modules["pydicom"]


_nibabel: Any = _imported()
Nifti1Header: Any = _nibabel.Nifti1Header
Nifti2Header: Any = _nibabel.Nifti2Header
HeaderDataError: type[Exception] = _nibabel.spatialimages.HeaderDataError
