"""Terms of the loss against closed forms and torch's own, and the gradients that they must have."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from renalis.training.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Dice,
    Focal,
    LossTerm,
    RenalCrossEntropyDice,
    SquaredError,
    Term,
    Tversky,
    build_term,
    total_loss,
)

KIDNEY, TUMOR = (1, 2), (2,)
WEIGHTS = (0.5, 1.0, 1.5)


def logits_and_labels(
    classes: int = 3, seed: int = 0, shape: tuple[int, ...] = (2, 4, 5, 6)
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], classes, *shape[1:], generator=generator)
    labels = torch.randint(0, max(2, classes), shape, generator=generator)
    return logits.requires_grad_(True), labels.to(torch.uint8)


def numpy_dice(probability: np.ndarray, truth: np.ndarray, smooth: float) -> float:
    both = float((probability * truth).sum())
    return (2 * both + smooth) / (float(probability.sum()) + float(truth.sum()) + smooth)


@pytest.mark.parametrize(
    ("term", "classes"),
    [
        (Dice((KIDNEY, TUMOR)), 3),
        (Dice((KIDNEY, TUMOR), over="sample", absent="skip"), 3),
        (Dice(((1,),), smooth=1.0), 1),
        (Tversky((KIDNEY, TUMOR)), 3),
        (Tversky((TUMOR,), gamma=0.75), 3),
        (Tversky(((1,),), over="sample"), 1),
        (CrossEntropy(WEIGHTS), 3),
        (CrossEntropy(WEIGHTS, top_k=0.7), 3),
        (CrossEntropy(WEIGHTS, top_k=0.7, ranks="unweighted"), 3),
        (BinaryCrossEntropy(), 1),
        (BinaryCrossEntropy((1.0, 3.0), top_k=0.5), 1),
        (Focal(), 3),
        (Focal(1.5, (0.25, 0.75)), 1),
        (SquaredError(), 1),
    ],
)
def test_every_term_teaches(term: Term, classes: int) -> None:
    logits, labels = logits_and_labels(classes)
    value = term(logits, labels)
    assert value.shape == ()
    assert value.item() > 0
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    # Every sample and every channel is told something.
    assert (gradient.abs().amax(dim=tuple(range(2, gradient.ndim))) > 0).all()
    # A step against the gradient helps.
    better = logits.detach() - 0.01 * gradient / gradient.norm()
    assert term(better, labels) < value


def test_hard_dice_teaches_nothing_and_changes_no_bit_of_the_rest() -> None:
    logits, labels = logits_and_labels()
    hard = Dice((KIDNEY, TUMOR), "hard")
    assert not hard(logits, labels).requires_grad
    entropy = LossTerm("ce", CrossEntropy(WEIGHTS))
    published = (entropy, LossTerm("dice", hard), LossTerm("tumor", Dice((TUMOR,), "hard")))
    alone, _ = total_loss((entropy,), {"seg": logits}, {"seg": labels})
    total, _ = total_loss(published, {"seg": logits}, {"seg": labels})
    assert total > alone
    assert torch.equal(*(torch.autograd.grad(loss, logits)[0] for loss in (alone, total)))


@pytest.mark.parametrize("over", ["batch", "sample"])
@pytest.mark.parametrize("smooth", [1e-5, 1.0])
def test_soft_and_hard_dice_are_the_formula(over: str, smooth: float) -> None:
    logits, labels = logits_and_labels()
    truth = labels.numpy()
    soft = np.exp(logits.detach().numpy().astype(float))
    soft /= soft.sum(1, keepdims=True)
    hard = logits.detach().numpy().argmax(1)
    groups = [slice(None)] if over == "batch" else [slice(0, 1), slice(1, 2)]
    pieces = list(itertools.product((KIDNEY, TUMOR), groups))
    wanted = np.mean(
        [numpy_dice(soft[g][:, r].sum(1), np.isin(truth[g], r), smooth) for r, g in pieces]
    )
    value = Dice((KIDNEY, TUMOR), "soft", smooth, over)(logits, labels)
    assert 1 - value.item() == pytest.approx(wanted, abs=1e-6)
    wanted = np.mean(
        [numpy_dice(np.isin(hard[g], r), np.isin(truth[g], r), smooth) for r, g in pieces]
    )
    value = Dice((KIDNEY, TUMOR), "hard", smooth, over)(logits, labels)
    assert 1 - value.item() == pytest.approx(wanted, abs=1e-6)


def test_dice_of_a_hand_made_pair_and_of_nothing() -> None:
    # Three voxels predicted, two true, one in both.
    logits = torch.tensor([[[9.0, 9.0, 9.0, -9.0]]]) * 10
    labels = torch.tensor([[0, 0, 1, 1]])
    assert Dice(((1,),), "hard", 0.0)(logits, labels).item() == pytest.approx(1 - 2 / 5)
    assert Dice(((1,),), "soft", 0.0)(logits, labels).item() == pytest.approx(1 - 2 / 5)
    nothing = torch.zeros_like(labels)
    assert Dice(((1,),), "hard", 1.0)(-logits.abs(), nothing).item() == 0
    assert Dice(((1,),), "hard", 1.0)(logits, nothing).item() == pytest.approx(1 - 1 / 4)
    skipped = Dice(((1,),), absent="skip")(logits.requires_grad_(True), nothing)
    assert skipped.item() == 0
    assert skipped.requires_grad


def test_skipped_regions_leave_the_mean_to_the_others() -> None:
    logits, labels = logits_and_labels()
    labels = labels.clamp(max=1)
    both = Dice((KIDNEY, TUMOR), absent="skip")(logits, labels)
    assert both.item() == pytest.approx(Dice((KIDNEY,))(logits, labels).item())


@given(alpha=st.floats(0.1, 1), beta=st.floats(0.1, 1), gamma=st.sampled_from([0.75, 1.0, 4 / 3]))
def test_tversky_is_the_formula(alpha: float, beta: float, gamma: float) -> None:
    logits, labels = logits_and_labels(1)
    p = 1 / (1 + np.exp(-logits.detach().numpy()[:, 0].astype(float)))
    t = labels.numpy()
    right, wrong, missed = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
    wanted = (1 - (right + 1e-5) / (right + alpha * wrong + beta * missed + 1e-5)) ** gamma
    value = Tversky(((1,),), alpha, beta, gamma)(logits, labels)
    assert value.item() == pytest.approx(wanted, rel=1e-4)


def test_tversky_with_halves_is_dice() -> None:
    logits, labels = logits_and_labels()
    dice = Dice((KIDNEY, TUMOR), smooth=2.0)(logits, labels)
    tversky = Tversky((KIDNEY, TUMOR), 0.5, 0.5, smooth=1.0)(logits, labels)
    assert tversky.item() == pytest.approx(dice.item(), rel=1e-5)


def test_cross_entropies_are_torchs() -> None:
    logits, labels = logits_and_labels()
    wanted = functional.cross_entropy(logits, labels.long(), torch.tensor(WEIGHTS))
    torch.testing.assert_close(CrossEntropy(WEIGHTS)(logits, labels), wanted)
    # A single logit and the pair (0, logit) say the same.
    single, binary = logits_and_labels(1)
    pair = torch.cat([torch.zeros_like(single), single], 1)
    torch.testing.assert_close(
        BinaryCrossEntropy()(single, binary), CrossEntropy()(pair, binary), rtol=1e-5, atol=1e-6
    )
    pixels = torch.rand(binary.shape)
    wanted = functional.binary_cross_entropy_with_logits(single[:, 0], binary.float(), pixels)
    torch.testing.assert_close(BinaryCrossEntropy()(single, binary, pixels), wanted)


@given(gamma=st.floats(0, 4))
def test_focal_is_the_formula(gamma: float) -> None:
    logits, labels = logits_and_labels()
    p = torch.softmax(logits.detach().double(), 1).numpy()
    of_truth = np.take_along_axis(p, labels.numpy()[:, None].astype(int), 1)[:, 0]
    scale = np.asarray(WEIGHTS)[labels.numpy()]
    wanted = (-scale * (1 - of_truth) ** gamma * np.log(of_truth)).mean()
    assert Focal(gamma, WEIGHTS)(logits, labels).item() == pytest.approx(wanted, rel=1e-4)


def test_top_k_before_and_after_the_class_weights() -> None:
    # Losses of the four voxels 1, 2, 3, 4; the first is of a class that weighs ten times.
    losses = np.array([1.0, 2.0, 3.0, 4.0])
    labels = torch.tensor([[1, 0, 0, 0]])
    odds = np.log(np.exp(-losses) / (1 - np.exp(-losses)))
    logits = torch.tensor([[-odds[0], *odds[1:]], [0.0] * 4])[None]
    logits[0, 0, 0], logits[0, 1, 0] = 0.0, odds[0]
    logits = logits.float()
    each = functional.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(each.numpy()[0], losses, rtol=1e-5)
    half = {"class_weights": (1.0, 10.0), "top_k": 0.5}
    value = CrossEntropy(**half, divide="voxels")(logits, labels)
    assert value.item() == pytest.approx((10 + 4) / 2, rel=1e-5)
    value = CrossEntropy(**half, divide="voxels", ranks="unweighted")(logits, labels)
    assert value.item() == pytest.approx((3 + 4) / 2, rel=1e-5)
    value = CrossEntropy(**half)(logits, labels)
    assert value.item() == pytest.approx((10 + 4) / 11, rel=1e-5)
    whole = CrossEntropy((1.0, 10.0), top_k=1.0)(logits, labels)
    torch.testing.assert_close(whole, CrossEntropy((1.0, 10.0))(logits, labels))


def test_the_sum_over_named_outputs_is_the_published_one() -> None:
    """Cascade: 2·(0.2·Dice + 0.8·weighted CE) + 2·MSE + 1·CE of the low resolution, top-k 70 %."""
    high, fine = logits_and_labels(3, 1)
    low, coarse = logits_and_labels(2, 2)
    patch, tumor = torch.tensor([[0.3], [-1.0]]), torch.tensor([1.0, 0.0])
    entropy = CrossEntropy(WEIGHTS, top_k=0.7, divide="voxels")
    terms = (
        LossTerm("dice", Dice(((1,), (2,))), 0.4),
        LossTerm("ce", entropy, 1.6),
        LossTerm("cls", SquaredError(), 2.0, "cls"),
        LossTerm("low", CrossEntropy(top_k=0.7), 1.0, "low"),
    )
    outputs = {"seg": high, "low": low, "cls": patch}
    targets = {"seg": fine, "low": coarse, "cls": tumor}
    total, parts = total_loss(terms, outputs, targets)
    one = 1 - 1 / (1 + math.exp(-0.3))
    other = 1 / (1 + math.e)
    assert parts["cls"].item() == pytest.approx((one**2 + other**2) / 2, rel=1e-5)
    labels = fine.long()
    each = functional.cross_entropy(high, labels, reduction="none") * torch.tensor(WEIGHTS)[labels]
    largest = each.detach().flatten().sort(descending=True).values[: int(0.7 * each.numel())]
    assert parts["ce"].item() == pytest.approx(largest.mean().item(), rel=1e-5)
    factors = {"dice": 0.4, "ce": 1.6, "cls": 2.0, "low": 1.0}
    wanted = sum(factors[name] * value.item() for name, value in parts.items())
    assert total.item() == pytest.approx(wanted, rel=1e-5)


def test_deep_supervision_is_the_weighted_mean_over_resolutions() -> None:
    full, labels = logits_and_labels(3, 0, (2, 8, 8, 8))
    half = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    quarter = torch.randn(2, 3, 2, 2, 2, requires_grad=True)
    outputs = {"seg": full, "deep": [half, quarter]}
    plain = CrossEntropy()
    term = LossTerm("ce", plain, deep_weights=(0.5, 0.25))
    total, _ = total_loss((term,), outputs, {"seg": labels})
    wanted = plain(full, labels) + 0.5 * plain(half, labels[:, 1::2, 1::2, 1::2])
    wanted = (wanted + 0.25 * plain(quarter, labels[:, 2::4, 2::4, 2::4])) / 1.75
    torch.testing.assert_close(total, wanted)
    total.backward()
    assert half.grad is not None
    assert half.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="2 deep weights"):
        total_loss((term,), {"seg": full, "deep": [half]}, {"seg": labels})


def test_pixel_weights_come_from_a_named_target() -> None:
    logits, labels = logits_and_labels(1)
    weights = torch.zeros(labels.shape)
    weights[:, 0] = 2.0
    term = LossTerm("bce", BinaryCrossEntropy(), pixel_weights="weights")
    total, _ = total_loss((term,), {"seg": logits}, {"seg": labels, "weights": weights})
    (gradient,) = torch.autograd.grad(total, logits)
    assert gradient[:, :, 1:].abs().max() == 0
    assert gradient[:, :, 0].abs().min() > 0


def test_half_precision_logits_are_summed_in_full_precision() -> None:
    logits, labels = logits_and_labels(3, 0, (2, 40, 40, 40))
    coarse = logits.detach().bfloat16()
    for term in (Dice((KIDNEY, TUMOR)), CrossEntropy(WEIGHTS), Tversky((TUMOR,)), Focal()):
        value = term(coarse, labels)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(term(coarse.float(), labels).item(), rel=1e-6)


def test_mistakes_in_a_loss_are_named() -> None:
    logits, labels = logits_and_labels()
    with pytest.raises(ValueError, match="no loss term 'dise'"):
        build_term("dise")
    with pytest.raises(ValueError, match="regoins"):
        build_term("dice", regoins=((1,),))
    assert build_term("ce", class_weights=WEIGHTS, top_k=0.7) == CrossEntropy(WEIGHTS, 0.7)
    with pytest.raises(ValueError, match="2 class weights were given for 3 classes"):
        CrossEntropy((1.0, 2.0))(logits, labels)
    with pytest.raises(ValueError, match="softmax over one channel"):
        CrossEntropy()(logits[:, :1], labels)
    with pytest.raises(ValueError, match="does not fit"):
        Dice((KIDNEY,))(logits, labels[:, :-1])
    with pytest.raises(ValueError, match="own name"):
        total_loss((LossTerm("a", Focal()), LossTerm("a", Focal())), {"seg": logits}, {})


def test_every_part_of_the_renal_term_has_a_gradient() -> None:
    target = torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
    target[0, :4], target[0, 4, :4], target[0, 4, 4:] = 1, 2, 3
    logits = torch.zeros(1, 4, 8, 8, 8, requires_grad=True)
    term = RenalCrossEntropyDice()
    term(logits, target).backward()
    entropy = torch.zeros(1, 4, 8, 8, 8, requires_grad=True)
    functional.cross_entropy(entropy, target.long()).backward()
    assert logits.grad is not None
    assert not torch.allclose(logits.grad, entropy.grad)  # the Dice terms contribute
    perfect = functional.one_hot(target.long(), 4).permute(0, 4, 1, 2, 3) * 50.0
    assert float(term(perfect, target)) < 0.02
    # Nothing renal: only where kidneys are not is asked.
    assert float(term(logits.detach(), torch.zeros_like(target))) > 0
    with pytest.raises(ValueError, match="no weights per voxel"):
        term(logits, target, torch.ones_like(target))


def test_class_weights_of_the_renal_term_count() -> None:
    target = torch.tensor([[[[1, 2], [3, 0]]]])
    logits = torch.randn(1, 4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    plain = float(RenalCrossEntropyDice()(logits, target))
    assert float(RenalCrossEntropyDice((1.0, 1.0, 1.5, 2.0))(logits, target)) != plain
