"""One function per kind of dataset: folder → cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from renalis.conventions import Convention
from renalis.dataset.adapters.folder import open_folder, open_radboud
from renalis.dataset.adapters.kits import open_kits19, open_kits21, open_kits23
from renalis.dataset.adapters.nnunet import open_nnunet
from renalis.dataset.adapters.slices import open_slices
from renalis.dataset.adapters.table import open_csv
from renalis.dataset.cases import Dataset

__all__ = ["ADAPTERS"]

Adapter = Callable[[Path, Convention | None], Dataset]

ADAPTERS: dict[str, Adapter] = {
    "kits19": open_kits19,
    "kits21": partial(open_kits21, annotation="MAJ"),
    "kits21-maj": partial(open_kits21, annotation="MAJ"),
    "kits21-and": partial(open_kits21, annotation="AND"),
    "kits21-or": partial(open_kits21, annotation="OR"),
    "kits23": open_kits23,
    "radboud": open_radboud,
    "nnunet": open_nnunet,
    "folder": open_folder,
    "csv": open_csv,
    "slices": open_slices,
}
"""By name, as `open_dataset` and the command line take it."""
