"""The best and the worst slices of the validation cases as one picture (R2's Figures 10 and 11)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from renalis.io import whole_file
from renalis.report.outlines import outlines
from renalis.systems.longer_training import same_weights
from renalis.systems.published_scores import slice_dice
from renalis.systems.validation import StageValidation
from renalis.training.devices import ProcessRank
from renalis.training.metrics_log import event_writer

__all__ = ["PICTURE", "ScoredSlice", "best_and_worst", "drawn", "show_slices"]

PICTURE = "best-and-worst.png"

_COUNT = 4
_SIDE = 240
_CAPTION = 16
_WINDOW_HU = (-160.0, 240.0)
_REFERENCE, _PREDICTION = (86, 180, 233), (230, 159, 0)
"""Sky blue and orange of Okabe and Ito: told apart with every kind of color vision."""


@dataclass(frozen=True, eq=False)
class ScoredSlice:
    """One slice: HU and both label maps (Y, X), front up, and the size of a pixel in mm."""

    case: str
    number: int
    dice: float
    hu: NDArray[np.int16]
    truth: NDArray[np.uint8]
    found: NDArray[np.uint8]
    pixel_mm: tuple[float, float]


def best_and_worst(
    validation: StageValidation, names: Sequence[str], network: nn.Module, device: torch.device
) -> list[tuple[ScoredSlice, ScoredSlice]]:
    """Of each validation case the best and the worst of the slices with a training label.

    Parameters
    ----------
    validation : StageValidation
        Its cases are predicted.
    names : sequence of str
        Of the cases.
    network : nn.Module
        In evaluation mode.
    device : torch.device
        Where to compute.
    """
    result = []
    for number, name in enumerate(names):
        with torch.no_grad():
            predicted = validation.predict(network, number, ProcessRank(0, 1, device))
        case = validation.compared(predicted, number)
        scores = slice_dice(validation.stage, case, float("nan"))
        scores[~case.truth.any(axis=(1, 2))] = np.nan
        if np.isnan(scores).all():
            continue
        grid = validation.cases[number].grid(validation.stage.prediction.grid)
        _, row_mm, column_mm = grid.spacing
        result.append(
            tuple(
                ScoredSlice(
                    name,
                    int(case.numbers[at]),
                    float(scores[at]),
                    np.array(grid.image[case.numbers[at]]),
                    case.truth[at].copy(),
                    case.found[at].copy(),
                    (row_mm, column_mm),
                )
                for at in (int(np.nanargmax(scores)), int(np.nanargmin(scores)))
            )
        )
    return [(best, worst) for best, worst in result]


def drawn(pairs: Sequence[tuple[ScoredSlice, ScoredSlice]]) -> Image.Image:
    """Above the best slices of the best cases, below the worst of the worst.

    Reference in blue, prediction in orange.
    """
    best = sorted((pair[0] for pair in pairs), key=lambda one: -one.dice)[:_COUNT]
    worst = sorted((pair[1] for pair in pairs), key=lambda one: one.dice)[:_COUNT]
    height = _SIDE + _CAPTION
    sheet = Image.new("RGB", (_SIDE * max(len(best), 1), 2 * height), "black")
    for row, slices in enumerate((best, worst)):
        for column, one in enumerate(slices):
            sheet.paste(_one(one), (column * _SIDE, row * height))
    return sheet


def show_slices(
    validation: StageValidation,
    names: Sequence[str],
    network: nn.Module,
    device: torch.device,
    folder: Path,
    weights: Path,
    events: Path | None,
) -> None:
    """Draw a stage that has just been trained, in `PICTURE` and, where asked, for TensorBoard.

    Nothing is drawn again of a network whose weights are in a file already, nor where no slice has
    a training label.

    Parameters
    ----------
    validation, names, network, device
        As for `best_and_worst`.
    folder : Path
        The stage's.
    weights : Path
        Where the stage's weights are stored.
    events : Path or None
        Folder of TensorBoard's files.

    Raises
    ------
    OutputError
        If the picture cannot be written.
    """
    path = folder / PICTURE
    if path.exists() and weights.exists() and same_weights(weights, network.state_dict()):
        return
    pairs = best_and_worst(validation, names, network.eval(), device)
    if not pairs:
        return
    picture, stream = drawn(pairs), io.BytesIO()
    picture.save(stream, format="PNG")
    with whole_file(path) as file:
        file.write(stream.getvalue())
    if events is not None:
        writer = event_writer(events)
        writer.add_image("best and worst slices", np.asarray(picture), dataformats="HWC")
        writer.close()


def _one(one: ScoredSlice) -> Image.Image:
    low, high = _WINDOW_HU
    gray = np.clip((one.hu.astype(np.float32) - low) / (high - low) * 255, 0, 255)
    rows, columns = (n * mm for n, mm in zip(one.hu.shape, one.pixel_mm, strict=True))
    scale = _SIDE / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Image.fromarray(gray.astype(np.uint8)).resize(size).convert("RGB")
    pen = ImageDraw.Draw(picture)
    per_pixel = (size[1] / one.hu.shape[0], size[0] / one.hu.shape[1])
    for labels, color in ((one.truth, _REFERENCE), (one.found, _PREDICTION)):
        for line in outlines(labels > 0, per_pixel):
            pen.line([tuple(point) for point in line], fill=color)
    framed = Image.new("RGB", (_SIDE, _SIDE + _CAPTION), "black")
    framed.paste(picture, (0, _CAPTION))
    words = f"{one.case[-20:]}, slice {one.number}: {one.dice:.2f}"
    ImageDraw.Draw(framed).text((2, 2), words, fill="white")
    return framed
