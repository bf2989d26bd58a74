"""``renalis doctor``: show what this machine can do."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.errors import InputError

__all__ = ["add_arguments", "run"]

_PACKAGES = (
    "torch",
    "openvino",
    "onnxruntime",
    "numpy",
    "scipy",
    "nibabel",
    "pydicom",
    "SimpleITK",
    "safetensors",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", default="renalis-kidney", metavar="NAME|FILE", help="model to measure with")
    add("--quick", action="store_true", help="do not measure the runtimes")
    add("--threads", type=int, metavar="N", help="threads for the networks (default: all cores)")
    add(
        "--scan",
        nargs="+",
        type=Path,
        metavar="SCAN",
        help="compare the runtimes' labels of these CT scans too; takes a few minutes",
    )
    add("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Describe the machine, the installation and the model, and measure the runtimes."""
    facts = _facts()
    try:
        facts |= _model(arguments.model)
        if not arguments.quick:
            facts["runtimes"] = _runtimes(arguments.model, arguments.threads, arguments.scan)
    except InputError as error:
        facts["problem"] = str(error)
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        print("\n".join(_lines(facts)))
    return 2 if "problem" in facts else 0


def _facts() -> dict[str, Any]:
    from renalis.prediction.runtimes.machine import available_mb, cores, processor, total_mb

    return {
        "renalis": metadata.version("renalis"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "memory_mb": _rounded(total_mb()),
        "memory_available_mb": _rounded(available_mb()),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_torch(),
        "plugins": _plugins(),
    }


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _plugins() -> list[dict[str, Any]]:
    """What other packages add, each imported to see whether it can be."""
    import renalis.recipes  # noqa: F401 - keeps the names of renalis's own
    from renalis.plugins import REGISTRIES, offers

    return [
        {
            "kind": offer.kind,
            "name": offer.name,
            "package": offer.package,
            "version": offer.version,
            "problem": REGISTRIES[offer.kind].problem(offer),
        }
        for offer in offers()
    ]


def _torch() -> dict[str, Any]:
    import torch

    from renalis.prediction.runtimes.torch_runtime import has_bf16

    return {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": has_bf16(),
        "threads": torch.get_num_threads(),
    }


def _model(name: str) -> dict[str, Any]:
    from renalis.model import load_model

    model = load_model(name)
    header = model.header
    return {
        "model": {
            "name": header.name,
            "version": header.version,
            "licence": header.licence,
            "sha256": header.sha256,
        }
    }


def _runtimes(name: str, threads: int | None, scans: list[Path] | None) -> dict[str, Any]:
    """Measure anew and remember the choice."""
    import torch

    from renalis.model import load_model
    from renalis.prediction.runtimes.choice import choose
    from renalis.prediction.runtimes.memory_reuse import keep_freed_memory

    kept = keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    model = load_model(name)
    choice = choose(model, threads, again=True)
    confirmed = {}
    if scans:
        from renalis.io import read_scan
        from renalis.prediction.runtimes.agreement import confirm
        from renalis.prediction.runtimes.choice import remember

        choice, agreements = confirm(
            [read_scan(path).volume for path in scans], model, choice, threads
        )
        remember(model, threads, choice)
        confirmed = {
            "scans": len(scans),
            "labels": [
                {
                    "runtime": str(found.runtime),
                    "dice_with_torch": dict(found.dice),
                    "agrees": found.agrees,
                }
                for found in agreements
            ],
        }
    return {
        **confirmed,
        "chosen": str(choice.runtime),
        "heap_kept": kept,
        "trials": [
            {
                "runtime": str(trial.runtime),
                "seconds_per_window": None if trial.problem else round(trial.seconds, 3),
                "dice_with_torch": round(trial.dice, 5),
                "largest_difference": None if trial.problem else trial.largest_difference,
                "agrees": trial.agrees,
                "problem": trial.problem,
            }
            for trial in choice.trials
        ],
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """For people."""
    packages = [f"{name} {version}" for name, version in facts["packages"].items() if version]
    missing = [name for name, version in facts["packages"].items() if not version]
    lines = [
        f"renalis     {facts['renalis']} on Python {facts['python']}, {facts['system']}",
        f"processor   {facts['processor']}, {facts['cores']} cores, {facts['instructions']}"
        + (", bfloat16" if facts["bfloat16"] else ", no bfloat16"),
        f"memory      {facts['memory_mb']} MB, {facts['memory_available_mb']} MB available",
        f"packages    {', '.join(packages)}",
    ]
    if missing:
        lines.append(f"missing     {', '.join(missing)} (renalis works without, slower)")
    for plugin in facts["plugins"]:
        state = plugin["problem"] or "usable"
        lines.append(
            f"plug-in     {plugin['package']} {plugin['version']}, {plugin['kind']} "
            f"{plugin['name']}: {state}"
        )
    if "model" in facts:
        model = facts["model"]
        lines.append(f"model       {model['name']} {model['version']}, {model['licence']}")
    if "runtimes" in facts:
        lines.append("runtime             CPU s per window     Dice with torch")
        for trial in facts["runtimes"]["trials"]:
            if trial["problem"]:
                lines.append(f"  {trial['runtime']:<17} not usable: {trial['problem']}")
                continue
            mark = "" if trial["agrees"] else "   differs, not used"
            mark = "   <- used" if trial["runtime"] == facts["runtimes"]["chosen"] else mark
            lines.append(
                f"  {trial['runtime']:<17} {trial['seconds_per_window']:>18}"
                f"   {trial['dice_with_torch']:>15.4f}{mark}"
            )
    for found in facts.get("runtimes", {}).get("labels", ()):
        scores = ", ".join(
            f"{name} {score:.4f}"
            for name, score in found["dice_with_torch"].items()
            if score is not None
        )
        verdict = "agree" if found["agrees"] else "DIFFER, not used"
        lines.append(
            f"labels      {facts['runtimes']['scans']} scans by {found['runtime']} and torch "
            f"in float32 {verdict}: Dice {scores or '1, nothing found'}"
        )
    if "problem" in facts:
        lines.append(f"problem     {facts['problem']}")
        print(f"renalis: {facts['problem']}", file=sys.stderr)
    return lines
