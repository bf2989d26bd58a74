"""What a training writes for people, and folds."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.programs import FORKED_FOLDS, TESTS, run_program
from helpers.small_run import fold_training
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from renalis.charts.lines import Series, chart
from renalis.errors import InputError
from renalis.training.curves import curves_page
from renalis.training.devices import Devices, devices_here, open_fabric
from renalis.training.engine import WEIGHTS
from renalis.training.folds import run_folds
from renalis.training.history import Epoch, History
from renalis.training.metrics_log import MetricsLog, TimeLeft, duration, epoch_line


def past(count: int) -> History:
    return tuple(
        Epoch(
            n,
            10 * (n + 1),
            1e-3 * 0.9**n,
            {"loss": 1 / (n + 1), "ce": 0.5 / (n + 1), "dice": 0.5 / (n + 1)},
            {"val_loss": 1.2 / (n + 1), "val_dice": 1 - 1 / (n + 1)},
            60.0,
        )
        for n in range(count)
    )


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [name for name, _ in attrs if name in {"src", "href", "srcset"}]


def test_the_page_needs_nothing_else_and_shows_every_curve() -> None:
    page = curves_page("a <training>", {"fold 0": past(12), "fold 1": past(9)})
    parser = _Addresses()
    parser.feed(page)
    assert parser.references == []
    assert not {"script", "link", "img", "iframe"} & set(parser.tags)
    assert "url(" not in page
    assert "@import" not in page
    assert "a &lt;training&gt;" in page
    drawings = re.findall(r"<svg viewBox=\"0 0 720.*?</svg>", page)
    lines = [len(re.findall("<polyline", drawing)) for drawing in drawings]
    # Per fold: training and validation loss; Dice; two terms; the rate.
    assert lines == [4, 2, 4, 2]
    assert "best validation Dice 0.9167 in epoch 12" in page


def test_a_chart_puts_points_where_they_belong() -> None:
    root = ET.fromstring(chart([Series("s", [(1, 0.0), (2, 0.5), (3, 1.0)], "#000")], "label"))
    line = next(e for e in root.iter() if e.tag == "polyline").attrib["points"].split()
    (x1, y1), (x2, y2), (x3, y3) = ([float(v) for v in point.split(",")] for point in line)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y3 < y1
    circles = [e for e in root.iter() if e.tag == "circle"]
    assert circles[1][0].text == "s, epoch 2: 0.5"


@pytest.mark.parametrize("values", [[], [0.0], [0.3], [-2.0, 5.0], [1e-7, 2e-7], [1e6, 1e6]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_any_values_can_be_drawn(values: list[float], logarithmic: bool) -> None:
    points = [(n + 1, value) for n, value in enumerate(values)]
    text = chart([Series("s", points, "#000")], "label", logarithmic)
    root = ET.fromstring(text)
    for element in root.iter():
        if element.tag == "circle":
            assert 0 <= float(element.attrib["cx"]) <= 720
            assert 0 <= float(element.attrib["cy"]) <= 260
    assert "nan" not in text


def test_metrics_start_again_where_the_checkpoint_was(tmp_path: Path) -> None:
    metrics_log = MetricsLog(tmp_path, "run", (), tensorboard=True)
    for count in (1, 2, 3):
        metrics_log.add(past(count))
    metrics_log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "los')
    metrics_log = MetricsLog(tmp_path, "run", past(2), tensorboard=True)
    metrics_log.add(past(3))
    metrics_log.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [line[:11] for line in lines] == ['{"epoch": 1', '{"epoch": 2', '{"epoch": 3']
    assert (tmp_path / "curves.html").read_text().startswith("<!doctype html>")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = events.Scalars("validation/val_dice")
    assert [event.step for event in losses] == [0, 1, 2]
    assert losses[2].value == pytest.approx(2 / 3)


def test_progress_lines_say_how_long_it_takes() -> None:
    lines: list[str] = []
    time_left = TimeLeft(lines.append, 4, 10, 0.0)
    assert time_left.left(0) is None
    for done in range(1, 5):
        time_left.step(2, done, lambda: 0.25)
    # The epoch's last step has a line of its own.
    assert len(lines) == 3
    assert lines[0].startswith("epoch 3 · step 1/4 · loss 0.2500 · ")
    assert "in all" in lines[0]
    left = time_left.left(3)
    assert left is not None
    assert math.isfinite(left)
    assert "in all" not in _lines_without_an_end()
    line = epoch_line(past(3)[-1], 10, 3600 * 5 + 60 * 20)
    assert line == (
        "epoch 3/10 · loss 0.3333 · val_dice 0.6667 · val_loss 0.4000 · rate 0.00081 · 60 s · "
        "at most 5 h 20 min left"
    )
    assert [duration(s) for s in (0, 89, 91, 5399, 7200)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 30 min",
        "2 h 00 min",
    ]


def test_progress_lines_know_the_minutes_that_a_rule_allows() -> None:
    lines: list[str] = []
    time_left = TimeLeft(lines.append, 4, None, 0.0, seconds=600.0)
    time_left.step(0, 1, lambda: 0.25)
    assert lines[0].endswith("at most 10 min in all")
    left = time_left.left(1)
    assert left == pytest.approx(600, abs=5)
    # The epoch in which the time ends is finished.
    late = TimeLeft(lines.append, 4, None, 0.0, seconds=0.0)
    late.step(0, 1, lambda: 0.25)
    assert lines[1].endswith(" in all")
    assert late.left(1) == 0


def _lines_without_an_end() -> str:
    lines: list[str] = []
    time_left = TimeLeft(lines.append, 4, None, 0.0)
    time_left.step(0, 1, lambda: 1.0)
    return lines[0]


SIDE_BY_SIDE = """
import sys
from functools import partial
from helpers.programs import FORKED_FOLDS, TESTS, run_program
from helpers.small_run import fold_training
from renalis.errors import InputError
from renalis.training.devices import Devices
from renalis.training.folds import run_folds
places = [Devices("cpu", threads=1)] * 2
try:
    run_folds(partial(fold_training, folder=sys.argv[1]), (3, 0, 1), places, print)
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_folds_run_side_by_side_and_differ(tmp_path: Path) -> None:
    done = run_program("-c", FORKED_FOLDS + SIDE_BY_SIDE, tmp_path, cwd=TESTS)
    assert done.stderr == "fold 3: fold 3 has no cases\n"
    lines = done.stdout.splitlines()
    # Two at a time; the third begins when one of them has ended.
    assert lines[:2] == ["fold 3 begins", "fold 0 begins"]
    assert sorted(lines) == sorted(
        f"fold {f}"
        for f in ("3 begins", "0 begins", "1 begins", "3 failed", "0 is done", "1 is done")
    )
    one, two = (load_file(tmp_path / f"fold_{fold}" / WEIGHTS) for fold in (0, 1))
    assert not one["last.weight"].equal(two["last.weight"])


def test_what_devices_cannot_do_is_said() -> None:
    assert len(devices_here()) >= 1
    with pytest.raises(InputError, match="CPU cannot train in float16"):
        open_fabric(Devices("cpu", precision="float16"))
    with pytest.raises(ValueError, match="at least one device"):
        run_folds(fold_training, (0,), [])


def test_the_first_epochs_lines_say_that_validation_is_not_counted() -> None:
    lines: list[str] = []
    time_left = TimeLeft(lines.append, 4, 10, 0.0, validated=True)
    time_left.step(3, 1, lambda: 0.25)
    time_left.step(4, 1, lambda: 0.25)
    assert lines[0].endswith(" in all, validation not counted")
    assert lines[1].endswith(" in all")
