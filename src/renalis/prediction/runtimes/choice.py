"""Choose what computes the networks: measured once per machine and model, then remembered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.compute_device import Device
from renalis.conventions import Label
from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.options import RuntimeName
from renalis.prediction.runtimes.machine import cache_folder
from renalis.prediction.sliding import Network

__all__ = [
    "AGREEMENT",
    "Choice",
    "Trial",
    "candidates",
    "choose",
    "open_network",
    "remember",
]

AGREEMENT = 0.995
"""Least Dice with torch in float32 for a runtime to be used (renal tissue and its classes, where
torch is decided, on a phantom)."""

_DECIDED = 0.1
"""How much likelier torch's answer in a voxel has to be than its second one for the voxel to count.
The phantom's flat balls look like no tumor and no cyst: a network that knows real ones leaves open
which of them a ball is, and rounding then decides. Of all voxels bfloat16 had a Dice of 0.975 with
version 12 of the model, of the decided ones 0.9986; of five whole scans 0.9994 and more (renal)."""

_ROUNDS = 4
"""How often every runtime is timed, in CPU seconds: by the clock, a choice that was made while
other programs were busy took the slower of two for good, also with the best of four."""

_CLOSE = 0.02
"""Largest mean difference of probabilities where the phantom shows no renal tissue."""


@dataclass(frozen=True)
class Trial:
    """One runtime's time and labels for one window of the fine network.

    ``seconds`` are CPU seconds of all threads, the best of four; ``dice`` and
    ``largest_difference`` (of probabilities) are against torch in float32; ``problem`` says why it
    cannot be used.
    """

    runtime: RuntimeName
    seconds: float
    dice: float
    largest_difference: float
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Whether its labels may be used."""
        return not self.problem and self.dice >= AGREEMENT


@dataclass(frozen=True)
class Choice:
    """The fastest runtime that agrees, and the trials it rests on."""

    runtime: RuntimeName
    trials: tuple[Trial, ...]


def candidates() -> list[RuntimeName]:
    """Runtimes that can be tried here, torch in float32 first."""
    from renalis.prediction.runtimes.torch_runtime import has_bf16

    names = [RuntimeName.TORCH]
    bf16 = has_bf16()
    if bf16:
        names.append(RuntimeName.TORCH_BF16)
    if has_openvino():
        names.append(RuntimeName.OPENVINO)
        if bf16:
            names.append(RuntimeName.OPENVINO_BF16)
    if has_onnx():
        names.append(RuntimeName.ONNX)
    return names


def has_openvino() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return bool(_versions("openvino"))


def has_onnx() -> bool:
    """Whether ONNX and ONNX Runtime are installed; they are not imported."""
    return len(_versions("onnx", "onnxruntime")) == 2


def _versions(*packages: str) -> list[str]:
    """Of those that are installed."""
    found = []
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(metadata.version(package))
    return found


def open_network(
    model: Model,
    stage: Stage,
    runtime: RuntimeName,
    threads: int | None = None,
    device: Device = "cpu",
) -> Network:
    """A stage's network in a runtime; torch is imported only where it is needed.

    ``device`` is for torch: the other runtimes compute on the CPU.
    """
    if runtime in (RuntimeName.TORCH, RuntimeName.TORCH_BF16):
        from renalis.prediction.runtimes.torch_runtime import TorchNetwork

        network = model.network(stage.name)
        return TorchNetwork(network, runtime == RuntimeName.TORCH_BF16, threads, device)
    from renalis.prediction.runtimes.graph_cache import exported_graph, exported_onnx

    if runtime == RuntimeName.ONNX:
        from renalis.prediction.runtimes.onnx_runtime import OnnxNetwork

        return OnnxNetwork(exported_onnx(model, stage), threads)
    from renalis.prediction.runtimes.openvino_runtime import OpenVinoNetwork

    graph = exported_graph(model, stage)
    return OpenVinoNetwork(graph, runtime == RuntimeName.OPENVINO_BF16, threads)


def choose(model: Model, threads: int | None = None, again: bool = False) -> Choice:
    """The fastest runtime whose labels agree with torch in float32.

    Parameters
    ----------
    model : Model
        Its fine network is measured.
    threads : int or None
        As in the prediction.
    again : bool
        Measure even if a result is remembered.

    Returns
    -------
    Choice
        Remembered in the user's cache folder for this model, processor and these versions.
    """
    path = cache_folder() / f"runtime-{_key(model, threads)}.json"
    remembered = None if again else _read(path)
    if remembered is not None:
        return remembered
    trials = _measure(model, threads)
    best = min((trial for trial in trials if trial.agrees), key=lambda trial: trial.seconds)
    choice = Choice(best.runtime, tuple(trials))
    _write(path, choice)
    return choice


def remember(model: Model, threads: int | None, choice: Choice) -> None:
    """Use this choice from now on, instead of the one that was measured."""
    _write(cache_folder() / f"runtime-{_key(model, threads)}.json", choice)


def _measure(model: Model, threads: int | None) -> list[Trial]:
    """Try every candidate on the phantom; in turn, so that a busy moment hits all alike."""
    stage = model.header.stage("fine")
    image = phantom(stage.patch)
    networks: dict[RuntimeName, Network] = {}
    probabilities: dict[RuntimeName, NDArray[np.float32]] = {}
    problems: dict[RuntimeName, str] = {}
    for name in candidates():
        try:
            network = open_network(model, stage, name, threads)
            probabilities[name] = np.array(network(image)[0])
            networks[name] = network
        except Exception as error:
            if not networks:
                raise
            # A runtime that fails in whatever way is not used; torch is always there.
            problems[name] = f"{error}"[:200]
    best = dict.fromkeys(networks, float("inf"))
    reference = probabilities[next(iter(networks))]
    for _ in range(_ROUNDS):
        for name, network in list(networks.items()):
            began = time.process_time()
            try:
                network(image)
            except Exception as error:
                if len(networks) == 1:
                    raise
                problems[name] = f"{error}"[:200]
                del networks[name]
                continue
            best[name] = min(best[name], time.process_time() - began)
    return [
        Trial(
            name,
            best[name],
            _dice(probabilities[name], reference),
            float(np.abs(probabilities[name] - reference).max()),
        )
        for name in networks
    ] + [Trial(name, float("inf"), 0.0, float("inf"), text) for name, text in problems.items()]


def phantom(patch: tuple[int, int, int]) -> NDArray[np.float32]:
    """A crude windowed CT of a kidney with a tumor and a cyst, always the same; (1, 1, Z, Y, X)."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in patch], indexing="ij", sparse=True)

    def ellipsoid(center: tuple[float, float, float], radius: tuple[float, float, float]) -> Any:
        (a, b, c), (p, q, r) = center, radius
        return ((z - a) / p) ** 2 + ((y - b) / q) ** 2 + ((x - c) / r) ** 2 < 1

    image = np.full(patch, -0.67, np.float32)  # fat
    image[np.broadcast_to((y > 0.6) | (x > 0.8), patch)] = -0.15  # muscle
    parts = (
        (ellipsoid((0, 0, 0), (0.65, 0.38, 0.34)), 0.3),
        (ellipsoid((0, 0, 0.1), (0.3, 0.15, 0.12)), -0.6),  # sinus fat
        (ellipsoid((-0.5, -0.2, -0.1), (0.22, 0.22, 0.22)), 0.0),
        (ellipsoid((0.5, 0.1, -0.2), (0.2, 0.2, 0.2)), -0.32),
    )
    for inside, value in parts:
        image[inside] = value
    noise = np.random.default_rng(0).normal(0, 0.05, patch).astype(np.float32)
    np.clip(image + noise, -1, 1, out=image)
    return image[None, None]


def _dice(probability: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Smallest Dice over renal tissue as a whole and its classes with at least 500 voxels.

    Voxels where the reference leaves open what they are do not count.
    """
    decided = _decided(reference)
    ours, theirs = (p.argmax(0)[decided] + 1 for p in (probability, reference))
    ours[probability.sum(0)[decided] < 0.5], theirs[reference.sum(0)[decided] < 0.5] = 0, 0
    if np.count_nonzero(theirs) < 500:
        return 1.0 if float(np.abs(probability - reference).mean()) < _CLOSE else 0.0
    masks = [(ours > 0, theirs > 0)] + [(ours == c, theirs == c) for c in Label if c]
    scores = [
        2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
        for a, b in masks
        if np.count_nonzero(b) >= 500
    ]
    return float(min(scores))


def _decided(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels whose label (`_dice`) is at least `_DECIDED` likelier than the next one."""
    renal = probability.sum(0)
    second, first = np.sort(probability, axis=0)[-2:]
    known = np.abs(2 * renal - 1) >= _DECIDED
    return np.asarray(known & ((renal < 0.5) | (first - second >= _DECIDED)))


def _key(model: Model, threads: int | None) -> str:
    """What the measurement depends on."""
    from renalis.prediction.runtimes.machine import processor

    versions = _versions("torch", "openvino", "onnxruntime")
    parts = [model.header.sha256, processor(), platform.machine(), str(os.cpu_count()),
             str(threads), f"decided {_DECIDED}", "CPU seconds", *versions]  # fmt: skip
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _read(path: Path) -> Choice | None:
    """A remembered choice; None if there is none or it cannot be understood."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(
            Trial(**{**trial, "runtime": RuntimeName(trial["runtime"])})
            for trial in content["trials"]
        )
        return Choice(RuntimeName(content["runtime"]), trials)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, choice: Choice) -> None:
    """Remember a choice; without a writable cache folder it is measured again next time."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(choice)), encoding="utf-8")
        os.replace(part, path)
    except OSError:
        return
