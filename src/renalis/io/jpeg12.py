"""JPEG extended with 12 bits (1.2.840.10008.1.2.4.51), which pydicom refuses and GDCM decodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from renalis.io.codestream import frame_bytes

__all__ = ["decoded", "is_jpeg12"]

_EXTENDED = "1.2.840.10008.1.2.4.51"


def is_jpeg12(data: Dataset) -> bool:
    """Whether a file's pixels are stored that way."""
    return data.file_meta.TransferSyntaxUID == _EXTENDED and data.BitsStored > 8


def decoded(data: Dataset, frame: int) -> NDArray[Any]:
    """Stored values of one frame.

    Parameters
    ----------
    data : Dataset
        The whole file.
    frame : int
        From 0.

    Returns
    -------
    ndarray, shape (rows, columns), uint16 or int16

    Raises
    ------
    ValueError
        If the frame is damaged.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame_bytes(data, frame))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((data.Columns, data.Rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    syntax = gdcm.TransferSyntax.GetTSType(_EXTENDED)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    signed = int(data.PixelRepresentation)
    bits = int(data.BitsStored)
    if not 8 < bits <= 16:
        raise ValueError(f"{bits} bits stored")
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, signed))
    # GDCM's Python binding hands bytes out as text.
    pixels = image.GetBuffer().encode("utf-8", "surrogateescape")
    values = np.frombuffer(pixels, dtype="<i2" if signed else "<u2")
    if values.size != data.Rows * data.Columns:
        raise ValueError(f"{values.size} pixels instead of {data.Rows * data.Columns}")
    return values.reshape(data.Rows, data.Columns)
