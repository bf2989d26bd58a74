"""One recipe at full size: what a step needs, reckoned without computing, or two real steps.

    python full_size_job.py estimate RECIPE
    python full_size_job.py steps RECIPE --unit U --at-once N [--device cuda]

Prints one JSON object on its last line. ``estimate`` runs the network forward and backward on
shapes alone (PyTorch's meta device) and adds up what autograd keeps. ``steps`` trains with the
package's own engine, sampler and augmentation on a phantom, at the recipe's patch and batch.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from renalis.networks import build
from renalis.preparation import prepare_case
from renalis.recipes import load_system
from renalis.recipes import sample_fields as fields
from renalis.recipes.system import Stage
from renalis.systems.case_batches import CaseBatches, case_batches
from renalis.systems.recipe_cases import grid_specs
from renalis.systems.training_plans import PlannedRound, micro_batches, planned_rounds
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import fit
from renalis.training.freezing import freeze, train_mode
from renalis.training.losses import total_loss
from renalis.training.stopping import Epochs
from renalis.volume import Kind, Volume

# Interpreter, libraries and prepared data; measured with `steps` on the smallest networks.
BASE_BYTES = 700e6
# Weights, gradients and Adam's two moments, in float32.
PER_PARAMETER = 16


@dataclass(frozen=True)
class Unit:
    """A training of a recipe: a stage, or one round of it."""

    stage: Stage
    round: PlannedRound

    @property
    def name(self) -> str:
        """Such as ``whole``, or ``kidney`` of a recipe with several stages."""
        parts = (self.stage.name, self.round.name)
        return " ".join(part for part in parts if part != "main") or "all"

    @property
    def coarse_alone(self) -> bool:
        """Whether the round is about the coarse half of a cascade."""
        return "seg" not in self.round.outputs


def units(recipe: str, at_once: int | None = None) -> list[Unit]:
    """The trainings of a recipe; stages that cost the same as an earlier one are left out.

    Parameters
    ----------
    recipe : str
        Its name.
    at_once : int, optional
        Samples in memory together, in place of the recipe's own number.
    """
    found: list[Unit] = []
    seen: set[str] = set()
    for written in load_system(recipe).all_stages():
        change = {} if at_once is None else {"micro_batch": at_once}
        plan = written.optimisation.model_copy(update=change)
        stage = written.model_copy(update={"optimisation": plan})
        key = json.dumps([stage.network.model_dump(), input_shapes(stage, 1),
                          [t.model_dump() for t in stage.loss], plan.batch])  # fmt: skip
        if key in seen:
            continue
        seen.add(key)
        found += [
            Unit(stage, round) for round in planned_rounds(plan, stage.loss, micro_batches(plan), 0)
        ]
    return found


def input_shapes(stage: Stage, samples: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's inputs for so many samples, augmented copies included."""
    sampler = stage.sampler
    channels = stage.network.in_channels
    count = samples * (1 + stage.augmentation.copies)
    if isinstance(sampler, fields.Paired):
        side = (count, channels, *(sampler.patch,) * 3)
        return {"image": side, "low_image": side} if _two_grids(stage) else {"image": side}
    if isinstance(sampler, fields.Windows):
        return {"image": (count, channels, *sampler.patch)}
    side2d = stage.grid(sampler.grid).slice_size or 512
    return {"image": (count, channels, side2d, side2d)}


def _two_grids(stage: Stage) -> bool:
    return bool(getattr(stage.network, "multires", False))


def estimate(unit: Unit, at_once: int) -> dict[str, Any]:
    """What one optimizer step needs when ``at_once`` of its samples are in memory together.

    Returns
    -------
    dict
        ``parameters``; ``kept_bytes``: what autograd keeps of one forward pass; ``bytes``: with
        weights, optimizer, program and the working space of the largest layer; ``tflop`` of a
        whole step.
    """
    kept: dict[int, tuple[Tensor, int]] = {}
    with torch.device("meta"):
        network = build(unit.stage.network.config())
    freeze(network, unit.round.plan.freezing)
    train_mode(network, unit.round.plan.freezing)
    own = {p.untyped_storage()._cdata for p in [*network.parameters(), *network.buffers()]}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = (tensor, storage.nbytes())
        return tensor

    inputs = {
        name: torch.empty(shape, device="meta")
        for name, shape in input_shapes(unit.stage, at_once).items()
        if name != "image" or not unit.coarse_alone
    }
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            outputs = network(**inputs)
            loss, _ = total_loss(unit.round.plan.terms, outputs, _targets(unit, outputs, at_once))
        loss.backward()
    kept_bytes = sum(size for _, size in kept.values())
    largest = max(size for _, size in kept.values())
    parameters = sum(p.numel() for p in network.parameters())
    steps = -(-unit.stage.optimisation.batch // at_once)
    return {
        "parameters": parameters,
        "kept_bytes": kept_bytes,
        # Going backward, the largest layer has its input's and its output's gradient and a copy
        # in the convolution's own layout beside what is kept.
        "bytes": BASE_BYTES + PER_PARAMETER * parameters + kept_bytes + 3 * largest,
        "tflop": counter.get_total_flops() * steps / 1e12,
    }


def _targets(unit: Unit, outputs: Any, at_once: int) -> dict[str, Tensor]:
    """Targets of the outputs' shapes, without content."""
    made: dict[str, Tensor] = {}
    for name, logits in outputs.items():
        if name == "deep":
            continue
        if name == "cls":
            made[name] = torch.empty(logits.shape, device="meta")
        else:
            shape = (logits.shape[0], *logits.shape[2:])
            made[name] = torch.empty(shape, dtype=torch.uint8, device="meta")
    if any(term.pixel_weights for term in unit.round.plan.terms):
        made["weights"] = torch.empty(made["seg"].shape, device="meta")
    return made


@dataclass(frozen=True, eq=False)
class _Samples:
    """A feeding's samples; without the fine patch for a round that does not look at it."""

    whole: CaseBatches
    coarse_alone: bool

    def __call__(self, epoch: int, index: int, rng: np.random.Generator) -> tuple[Any, Any]:
        inputs, targets = self.whole(epoch, index, rng)
        if self.coarse_alone:
            inputs = {"low_image": inputs["low_image"]}
        return inputs, targets


def steps(unit: Unit, device: str, count: int) -> dict[str, Any]:
    """Take ``count`` real optimizer steps and say how long each took.

    Seconds include cutting and augmenting the samples, as in training without loader processes.
    """
    stage = unit.stage
    specs = grid_specs(stage)
    image, label = phantom()
    case = prepare_case(image, label, list(specs.values()))
    # Enough cases for one batch, however many slices or windows each has.
    cases = [case] * stage.optimisation.batch
    regions = None
    if stage.input_mask is not None:
        truth = case.grid(stage.prediction.grid).label
        assert truth is not None
        regions = [(truth > 0).astype(np.uint8)] * len(cases)
    source = case_batches(stage, cases, seed=0, specs=specs, regions=regions)
    fabric = open_fabric(Devices(device, 1, 1, stage.optimisation.precision))
    torch.manual_seed(0)
    network = build(stage.network.config())
    plan = replace(unit.round.plan, stop=(Epochs(count),), keep="last", name=unit.name)
    with TemporaryDirectory() as folder:
        history = fit(
            fabric,
            network,
            plan,
            _Samples(source, unit.coarse_alone),
            None,
            Path(folder),
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )
    assert history[-1].steps == count
    on_gpu = fabric.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "seconds": [epoch.seconds for epoch in history],
        "loss": [epoch.train["loss"] for epoch in history],
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else _peak_bytes(),
    }


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak * (1 if sys.platform == "darwin" else 1024))


def phantom() -> tuple[Volume, Volume]:
    """Two kidneys, a tumor and a cyst in a body of noise: 160 x 192 x 192 mm."""
    shape, spacing = (40, 96, 96), (4.0, 2.0, 2.0)
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]

    def ball(center: tuple[float, ...], mm: float) -> NDArray[np.bool_]:
        parts = zip((z, y, x), center, spacing, strict=True)
        return np.asarray(sum(((a - c) * s / mm) ** 2 for a, c, s in parts) < 1)

    label = np.zeros(shape, np.uint8)
    for center, mm, value in _organs():
        label[ball(center, mm)] = value
    hu = np.where(ball((20, 48, 48), 90), 40, -1000) + 100 * (label > 0) + rng.normal(0, 20, shape)
    affine = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [-4, 0, 0, 0], [0, 0, 0, 1.0]])
    return Volume(hu.astype(np.int16), affine), Volume(label, affine, Kind.LABELS)


def _organs() -> Iterator[tuple[tuple[float, ...], float, int]]:
    for side in (-1, 1):
        yield (20.0, 52.0, 48.0 + 22 * side), 32.0, 1
    yield (24.0, 52.0, 28.0), 14.0, 2
    yield (16.0, 52.0, 70.0), 10.0, 3


def main() -> None:
    """Estimate or step, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("estimate", "steps"))
    parser.add_argument("recipe")
    parser.add_argument("--unit", type=int, default=0, help="which training of the recipe")
    parser.add_argument("--at-once", type=int, help="samples in memory (default: the recipe's)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--count", type=int, default=2, help="optimizer steps")
    arguments = parser.parse_args()
    if arguments.what == "steps":
        unit = units(arguments.recipe, arguments.at_once)[arguments.unit]
        print(json.dumps(steps(unit, arguments.device, arguments.count)))
        return
    rows = []
    for number, unit in enumerate(units(arguments.recipe)):
        plan = unit.stage.optimisation
        divisors = [n for n in range(1, plan.batch + 1) if plan.batch % n == 0]
        rows.append(
            {
                "unit": number,
                "name": unit.name,
                "batch": plan.batch,
                "copies": unit.stage.augmentation.copies,
                "at_once": plan.micro_batch or plan.batch,
                "input": {
                    name: list(shape[2:])
                    for name, shape in input_shapes(unit.stage, 1).items()
                    if name != "image" or not unit.coarse_alone
                },
                "needs": {str(n): estimate(unit, n) for n in divisors},
            }
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
