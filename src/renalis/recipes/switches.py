"""Turning parts of a system off, one at a time: the ablation of publication R5.

A switch that is off changes the fields it stands for, so that what is stored with a run is what was
trained.
"""

from __future__ import annotations

from typing import Any

from renalis.recipes.system import System

__all__ = ["switched"]


def switched(system: System) -> System:
    """The system with the consequences of its switches; the same one when all are on.

    ``multires`` off leaves the fine network alone: no low-resolution loss, gate or rule, one round
    of training; the sampler stays, so that ablations see the same patches. ``augment`` off: no
    transforms. ``topk`` off: all voxels count. ``spatial_dropout`` off: dropout 0. ``postprocess``
    off: no rules, and no gate.
    """
    on = system.switches
    content = system.model_dump(mode="json")
    for section in (content, *content["stages"]):
        if not on.augment and section["augmentation"] is not None:
            section["augmentation"] = {}
        if not on.topk:
            for term in section["loss"] or ():
                if "top_k" in term:
                    term["top_k"] = None
        if not on.spatial_dropout and section["network"] and "dropout" in section["network"]:
            section["network"]["dropout"] = 0.0
        if section["prediction"] and not on.postprocess and "gate" in section["prediction"]:
            section["prediction"]["gate"] = None
    if not on.postprocess:
        content["postprocessing"] = []
    if not on.multires and "multires" in (content["network"] or {}):
        _fine_alone(content)
    return System.model_validate(content)


def _fine_alone(content: dict[str, Any]) -> None:
    """Change a cascade into its fine network, in place."""
    content["network"]["multires"] = False
    content["loss"] = [term for term in content["loss"] if term["output"] != "low"]
    content["prediction"] |= {"coarse": None, "gate": None}
    content["postprocessing"] = [
        rule for rule in content["postprocessing"] if rule["rule"] != "mask_by_low"
    ]
    optimisation = content["optimisation"]
    if optimisation["rounds"]:
        epochs = optimisation["stop"]["epochs"]  # the bound of all rounds together
        optimisation["stop"] = optimisation["rounds"][-1]["stop"] | {"epochs": epochs}
        optimisation["rounds"] = []
