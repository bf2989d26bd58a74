"""Hard negatives of every kind of sampler, and through a whole training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from renalis.errors import InputError
from renalis.preparation import PreparedCase, prepare_case
from renalis.recipes import load_system
from renalis.recipes.system import Stage
from renalis.systems import train_system
from renalis.systems.case_batches import CaseBatches, case_batches
from renalis.systems.recipe_cases import grid_specs
from renalis.systems.training_job import Job
from renalis.training.devices import Devices
from renalis.training.hard_samples import SAMPLE, HardSampleBatches, SampleLosses
from renalis.volume import Kind, Volume

AFFINE = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])
MINE = "sampler.hard_negatives={share: 0.5, from_epoch: 2}"


def cases(stage: Stage, count: int = 1) -> list[PreparedCase]:
    """Long bodies with a kidney and a tumor at one end."""
    made = []
    for number in range(count):
        labels = np.zeros((60, 40, 40), np.uint8)
        labels[5:20, 8:22, 9:23] = 1
        labels[8:12, 12:18, 13:19] = 2
        hu = np.random.default_rng(number).normal(40, 30, labels.shape).astype(np.int16)
        image, truth = Volume(hu, AFFINE), Volume(labels, AFFINE, Kind.LABELS)
        made.append(prepare_case(image, truth, list(grid_specs(stage).values())))
    return made


def fed(recipe: str, *changes: str) -> CaseBatches:
    stage = load_system(recipe, (MINE, *changes), tiny=True).all_stages()[0]
    # An epoch of windows has one of each case, an epoch of slices all of them.
    count = 8 if recipe == "unet3d-plain" else 1
    return case_batches(stage, cases(stage, count), seed=3, specs=grid_specs(stage))


def shown(source: CaseBatches, epoch: int) -> list[int]:
    """Numbers of an epoch's samples, -1 for those that are not negative."""
    numbers: list[int] = []
    for index in range(source.batches):
        inputs, targets = source(epoch, index, np.random.default_rng(index))
        assert len(targets[SAMPLE]) == len(inputs["low_image" if "low" in targets else "image"])
        for number, label in zip(targets[SAMPLE], targets["seg"], strict=True):
            # Augmentation may turn a label out of a positive, none into a negative.
            assert number < 0 or not label.any()
        numbers += targets[SAMPLE].tolist()
    return numbers


RECIPES = [
    ("resnet34-2d", ["sampler.keep=balanced"]),
    ("resnet34-2d", ["sampler.planes=[axial, coronal]"]),
    ("unet3d-plain", ["sampler.tumor_repeat=1"]),
    ("unet3d-plain", ["sampler.tumor_repeat=2"]),
    # Without turns, which bring labels from beside a pair into it.
    ("multires3d", ["sampler.kinds=2", "augmentation={copies: 0, transforms: []}"]),
]


@pytest.mark.parametrize(("recipe", "changes"), RECIPES)
def test_a_share_of_the_negatives_are_the_hardest_of_the_epoch_before(
    recipe: str, changes: list[str]
) -> None:
    source = fed(recipe, *changes)
    assert isinstance(source.source, HardSampleBatches)
    assert source.hard is not None
    every = np.flatnonzero(source.hard.negative)
    plain = shown(source, 2)
    negatives = sum(number >= 0 for number in plain)
    assert negatives > 1
    worst = every[-negatives:][::-1]
    losses = SampleLosses.of([(int(n), float(n)) for n in every])
    after = source.after(losses)
    drawn = shown(after, 2)
    assert len(drawn) == len(plain)
    assert sum(number >= 0 for number in drawn) == negatives
    copies = len(drawn) // (len(after.orders[2]))
    wanted = round(negatives / copies / 2)
    assert set(worst[:wanted].tolist()) <= set(drawn)
    # The same epoch again is the same; before its time none are sought.
    again, before = source.after(losses), source.after(losses)
    again(2, 0, np.random.default_rng(0))
    before(1, 0, np.random.default_rng(0))
    source(1, 0, np.random.default_rng(0))
    assert again.orders[2] == after.orders[2]
    assert before.orders[1] == source.orders[1]


def test_an_order_that_is_not_shuffled_stays_so() -> None:
    source = fed("resnet34-2d", "sampler.shuffle=false")
    assert source.hard is not None
    every = np.flatnonzero(source.hard.negative)
    after = source.after(SampleLosses.of([(int(n), float(n)) for n in every]))
    assert after.batches == source.batches
    after(2, 0, np.random.default_rng(0))
    assert after.orders[2] == sorted(after.orders[2])
    assert len(set(after.orders[2])) < len(after.orders[2])


def test_windows_without_a_label_are_found() -> None:
    source = fed("unet3d-plain", "sampler.tumor_repeat=1")
    assert source.hard is not None
    flags = source.hard.negative
    assert 0 < flags.sum() < len(flags)
    for number, flag in enumerate(flags):
        sample = source.cut.take(number, np.random.default_rng(0))
        assert flag == (not sample.targets["seg"].any())


def test_a_sampler_without_negatives_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="every sample has foreground"):
        fed("unet3d-plain", "sampler.patch=[64, 64, 64]", "sampler.stride=[32, 32, 32]")


def test_validation_sees_every_sample_as_it_is() -> None:
    stage = load_system("resnet34-2d", (MINE,), tiny=True).all_stages()[0]
    still = case_batches(stage, cases(stage), seed=0, specs=grid_specs(stage), augment=False)
    assert still.hard is None
    assert SAMPLE not in still(5, 0, np.random.default_rng(0))[1]


class Stop(Exception):
    pass


def stopping(after: int) -> Callable[[str], None]:
    """Take so many lines, then end the training."""
    left = [after]

    def report(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stop

    return report


def test_a_training_stopped_and_resumed_gives_the_same_bits(kits: Path, tmp_path: Path) -> None:
    changes = (
        "sampler.hard_negatives={share: 0.5, from_epoch: 1}",
        "optimisation.stop.epochs=3",
        "grids.slices.slice_size=32",
        "network.base=4",
        "dataset.exclude=[case_00006, case_00007, case_00008, case_00009]",
        "split={kind: holdout, train: 0.5, val: 0.5, test: 0.0, seed: 0}",
    )
    system = load_system("simple-unet-2d", changes, tiny=True)
    device = Devices("cpu", threads=1)
    whole = Job(system, kits, tmp_path / "whole", "kits19", cache=tmp_path / "cache")
    parts = Job(system, kits, tmp_path / "parts", "kits19", None, tmp_path / "cache", True)
    train_system(whole, None, device, lambda _: None)
    for _ in range(2):
        # The third line comes with the first epoch.
        with pytest.raises(Stop):
            train_system(parts, None, device, stopping(2))
    train_system(parts, None, device, lambda _: None)
    name = Path("fold_0") / "main" / "main" / "checkpoint.safetensors"
    one, two = load_file(whole.run / name), load_file(parts.run / name)
    assert len(one["drawn_by.numbers"])
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
