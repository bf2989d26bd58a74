"""What is known about a model in the words of MONAI's bundles (``metadata.json``).

Specification: https://docs.monai.io/en/stable/mb_specification.html. Only the description has that
form: networks run in renalis, whose two passes no bundle's transforms carry out.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from renalis.conventions import Label
from renalis.errors import UsageError
from renalis.model_header import ModelHeader, Stage, SystemHeader

__all__ = ["monai_metadata"]

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_MONAI = "1.4.0"
"""The first version whose bundles have this schema; renalis itself does not use MONAI."""


def monai_metadata(header: ModelHeader | SystemHeader) -> dict[str, Any]:
    """The content of a bundle's ``metadata.json``.

    Parameters
    ----------
    header : ModelHeader
        Of a model of two stages; the fine network, which says what is what, is described.

    Raises
    ------
    UsageError
        If it is a packed run of a published system.
    """
    if isinstance(header, SystemHeader):
        raise UsageError(
            f"{header.name} is a packed run, whose recipe says what its networks see; --monai "
            "describes models of two stages"
        )
    stage = header.stage("fine")
    return {
        "schema": _SCHEMA,
        "version": header.version,
        "changelog": {header.version: f"created {header.created}"},
        "monai_version": _MONAI,
        "pytorch_version": metadata.version("torch").partition("+")[0],
        "numpy_version": metadata.version("numpy"),
        "required_packages_version": {"renalis": metadata.version("renalis")},
        "name": header.name,
        "task": "Segmentation of kidneys, kidney tumors and kidney cysts in abdominal CT",
        "description": (
            "Two 3D networks: a coarse one finds the kidneys, a fine one labels kidney, tumor and "
            "cyst there. Research software, not for diagnosis."
        ),
        "authors": "The renalis developers",
        "copyright": header.licence,
        "data_source": header.data_credit,
        "data_type": "nibabel, DICOM",
        "image_classes": "single channel data, CT numbers in HU",
        "label_classes": _classes("single channel data"),
        "pred_classes": _classes("4 channels, one-hot"),
        "eval_metrics": header.scores,
        "intended_use": "Research only; not for diagnosis",
        "network_data_format": {
            "inputs": {"image": _input(stage)},
            "outputs": {"pred": _output(stage)},
        },
    }


def _classes(how: str) -> str:
    return f"{how}, {', '.join(f'{label.value} is {label.name.lower()}' for label in Label)}"


def _input(stage: Stage) -> dict[str, Any]:
    """What the network sees; its window of HU becomes -1 to 1."""
    return {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": list(stage.patch),
        "dtype": "float32",
        "value_range": [-1, 1],
        "is_patch_data": True,
        "channel_def": {"0": "image"},
        "spacing_mm": list(stage.spacing_mm),
        "window_hu": list(stage.window_hu),
    }


def _output(stage: Stage) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "segmentation",
        "num_channels": len(Label),
        "spatial_shape": list(stage.patch),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {str(label.value): label.name.lower() for label in Label},
    }
