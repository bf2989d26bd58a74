"""Changes within the sequences of DICOM objects, wherever they stand."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from random import Random

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, changed_bytes
from fuzzing.dicom import to_bytes

__all__ = ["changed_tree"]


def _elements(data: Dataset) -> Iterator[tuple[Dataset, pydicom.DataElement]]:
    for element in data:
        yield data, element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def changed_tree(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """Some elements at any depth with other values, removed, or many times over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(io.BytesIO(content))
            words = [_change(data, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
            return to_bytes(data), words
        except Exception:  # pydicom refuses to write some of it
            return changed_bytes(content, rng)


def _change(data: Dataset, rng: Random) -> str:
    holder, element = rng.choice(list(_elements(data)))
    name = element.keyword or str(element.tag)
    if rng.random() < 0.2:
        del holder[element.tag]
        return f"no {name}"
    if element.VR == "SQ":
        items = list(element.value)
        choice = rng.choice(("none", "twice", "less", "empty"))
        if choice == "none":
            items = []
        elif choice == "twice":
            items = (items * rng.choice((2, 50)))[:2000]
        elif choice == "less" and items:
            del items[rng.randrange(len(items))]
        else:
            items = [Dataset()]
        holder[element.tag].value = Sequence(items)
        return f"{name} {choice}"
    if element.VR in ("DS", "IS"):
        values = [str(v) for v in element.value] if element.VM > 1 else [str(element.value)]
        value = rng.choice((*map(str, ODD_INTEGERS), *map(repr, ODD_FLOATS), "x", ""))
        values[rng.randrange(len(values))] = value[:16]
        raw = "\\".join(values).encode()
        raw += b" " * (len(raw) % 2)
        holder._dict[element.tag] = pydicom.dataelem.RawDataElement(
            element.tag, element.VR, len(raw), raw, 0, False, True
        )
    elif element.VR in ("US", "UL", "SS", "SL"):
        bits = 16 if element.VR[1] == "S" else 32
        number = rng.choice(ODD_INTEGERS) % (1 << (bits - 1))
        values = [number] * rng.choice((1, 1, 3))
        element.value = values[0] if len(values) == 1 else values
    elif element.VR in ("OB", "OW", "UN"):
        element._value, _ = changed_bytes(bytes(element.value or b"\0\0"), rng)
        element._value += b"\0" * (len(element._value) % 2)
    elif element.VR in ("FD", "FL"):
        element.value = rng.choice(ODD_FLOATS[:12])
    else:
        element._value = rng.choice(("", "x", "a" * 64, "1.2.3", "\\"))
    return name
