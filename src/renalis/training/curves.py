"""``curves.html``: losses and scores over the epochs, as one file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from renalis.charts.axes import COLORS
from renalis.charts.lines import Series, section
from renalis.charts.page import page
from renalis.training.history import Epoch, History
from renalis.training.stopping import kept_epoch
from renalis.training.training_dice import DICE

__all__ = ["curves_page"]

_DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2")

_WORDS = {"loss": "training loss", DICE: "training Dice"}


def curves_page(title: str, histories: Mapping[str, History]) -> str:
    """The page as text.

    Parameters
    ----------
    title : str
        Heading.
    histories : mapping of str to History
        Trainings to show together, such as folds, by name.
    """
    losses = _series(histories, lambda name: name.endswith("loss"), terms=False)
    scores = _series(histories, lambda name: not name.endswith("loss"), terms=False)
    terms = _series(histories, lambda name: name not in ("loss", DICE), terms=True)
    rates = [
        Series(
            name or "rate", [(e.number + 1, e.rate) for e in history], COLORS[0], _dash(position)
        )
        for position, (name, history) in enumerate(histories.items())
    ]
    parts = [
        section("Loss", losses),
        section("Scores", scores),
        section("Terms of the training loss", terms) if len({s.color for s in terms}) > 1 else "",
        section("Learning rate", rates, logarithmic=True),
    ]
    notes = "".join(
        f'<p class="note">{_words(name, history)}</p>' for name, history in histories.items()
    )
    return page(title, notes + "".join(parts))


def _series(
    histories: Mapping[str, History], wanted: Callable[[str], bool], terms: bool
) -> list[Series]:
    result: list[Series] = []
    colors: dict[str, str] = {}
    for position, (run, history) in enumerate(histories.items()):
        for name in sorted({key for epoch in history for key in _values(epoch, terms)}):
            if not wanted(name):
                continue
            color = colors.setdefault(name, COLORS[len(colors) % len(COLORS)])
            points = [
                (epoch.number + 1, _values(epoch, terms)[name])
                for epoch in history
                if name in _values(epoch, terms)
            ]
            label = _WORDS.get(name, name.replace("_", " "))
            result.append(
                Series(f"{run}: {label}" if run else label, points, color, _dash(position))
            )
    return result


def _values(epoch: Epoch, terms: bool) -> dict[str, float]:
    if terms:
        return dict(epoch.train)
    return {name: epoch.train[name] for name in ("loss", DICE) if name in epoch.train} | dict(
        epoch.validation
    )


def _dash(position: int) -> str:
    return _DASHES[position % len(_DASHES)]


def _words(name: str, history: History) -> str:
    if not history:
        return f"{html.escape(name)}: no epoch is finished."
    last = history[-1]
    start = f"{html.escape(name)}: " if name else ""
    text = f"{start}{len(history)} epochs, {last.steps} optimizer steps; last training loss "
    text += f"{last.train['loss']:.4f}"
    if any("val_dice" in epoch.validation for epoch in history):
        best = kept_epoch("best_dice", history)
        text += f"; best validation Dice {history[best].validation['val_dice']:.4f} in epoch "
        text += f"{best + 1}"
    return text + "."
