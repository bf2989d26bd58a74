"""From probabilities to label values."""

from __future__ import annotations

import numpy as np

from renalis.recipes import load_system
from renalis.systems.inference import likeliest_labels


def test_a_threshold_means_greater_than_and_later_classes_win() -> None:
    (stage,) = load_system("cascade3d").all_stages()
    assert stage.prediction.decision == "threshold"
    probability = np.array([[0.1, 0.1, 0.5, 0.4], [0.7, 0.7, 0.5, 0.3], [0.6, 0.5, 0.0, 0.3]])
    found = likeliest_labels(stage, probability[:, :, None, None].astype(np.float32))
    assert found.ravel().tolist() == [2, 1, 0, 0]


def test_the_likeliest_class_wins() -> None:
    (stage,) = load_system("unet3d-plain").all_stages()
    probability = np.array([[0.2, 0.4, 0.1], [0.45, 0.3, 0.6], [0.35, 0.3, 0.3]], np.float32)
    assert likeliest_labels(stage, probability[:, :, None, None]).ravel().tolist() == [1, 0, 1]
