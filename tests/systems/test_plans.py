"""The published systems' recipes become the plans that the publications describe."""

from __future__ import annotations

import pytest

from renalis.errors import InputError
from renalis.recipes import load_system
from renalis.systems.training_plans import PlannedRound, micro_batches, planned_rounds
from renalis.training.freezing import Freezing
from renalis.training.losses import BinaryCrossEntropy, CrossEntropy, Dice, LossTerm, SquaredError
from renalis.training.schedules import EmaPlateau, Exponential, Step
from renalis.training.stopping import Epochs, Minutes, Patience, Reach, Rises


def rounds(name: str, *changes: str, processes: int = 1, **options: object) -> list[PlannedRound]:
    stage = load_system(name, changes).all_stages()[0]
    batches = 84 * micro_batches(stage.optimisation)
    return planned_rounds(stage.optimisation, stage.loss, batches, 7, processes, **options)


def test_two_stages_in_two_dimensions() -> None:
    (round,) = rounds("resnet34-2d")
    plan = round.plan
    assert plan.terms == (LossTerm("bce", BinaryCrossEntropy()),)
    assert (plan.optimizer.kind, plan.optimizer.learning_rate) == ("adam", 1e-3)
    assert (plan.stop, plan.keep) == ((Epochs(100),), "best_loss")


def test_quicknat() -> None:
    (round,) = rounds("quicknat-2d", workers=3)
    plan = round.plan
    assert plan.terms == (
        LossTerm("dice", Dice(((1,),), smooth=1.0)),
        LossTerm("bce", BinaryCrossEntropy(), 0.5, pixel_weights="weights"),
    )
    assert plan.schedule == Step(50, 0.5)
    assert plan.stop[1:] == (Rises(2),)
    assert (plan.keep, plan.accumulate, plan.batches) == ("best_dice", 4, 4 * 84)
    assert (plan.seed, plan.workers) == (7, 3)
    # Sixteen slices in a step, however many processes there are.
    assert rounds("quicknat-2d", processes=2)[0].plan.accumulate == 2
    with pytest.raises(InputError, match="cannot be shared by 3"):
        rounds("quicknat-2d", processes=3)


def test_three_dimensions_as_the_text_says_and_as_the_code_does() -> None:
    (round,) = rounds("unet3d-residual")
    plan = round.plan
    assert [term.name for term in plan.terms] == ["ce", "dice", "dice_2"]
    assert plan.terms[0].term == CrossEntropy((0.5, 1.0, 1.5))
    assert plan.terms[1].term == Dice(((1, 2), (2,)))
    assert plan.schedule == EmaPlateau()
    assert (plan.optimizer.learning_rate, plan.optimizer.weight_decay) == (5e-4, 3e-5)
    assert (plan.stop, plan.keep, plan.clip_norm) == ((Epochs(600),), "last", None)
    (round,) = rounds("unet3d-residual", "loss.1.mode=hard", "optimisation.stop.minutes=5")
    assert round.plan.terms[1].term == Dice(((1, 2), (2,)), "hard")
    assert round.plan.stop == (Epochs(600), Minutes(5))


def test_the_cascade_is_trained_in_two_stages() -> None:
    first, second = rounds("cascade3d")
    assert [term.name for term in first.plan.terms] == ["low_ce"]
    assert first.plan.stop == (Epochs(28), Reach(0.9, "low_dice"))
    # Nothing else is trained yet, so nothing else can say which weights are best.
    assert first.plan.keep == "best_low"
    weights = {term.name: term.weight for term in second.plan.terms}
    assert weights == {"ce": 1.6, "dice": 0.4, "cls_mse": 2.0, "low_ce": 1.0}
    assert second.plan.terms[0].term == CrossEntropy((0.5, 1.0, 1.5), top_k=0.7)
    assert second.plan.terms[2].term == SquaredError()
    assert second.plan.freezing == Freezing(("low.encoder",))
    assert second.plan.schedule == Exponential(0.9)
    assert second.plan.stop == (Epochs(28), Patience(10, "val_dice"))
    assert second.plan.keep == "best_dice"
