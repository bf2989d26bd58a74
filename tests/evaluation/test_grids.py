"""Why two label maps do not lie on the same grid."""

from __future__ import annotations

import numpy as np
import pytest

from renalis.errors import InputError
from renalis.evaluation.grids import Grid, on_grid_of
from renalis.volume import Kind, Volume

AFFINE = np.diag([-0.8, -0.8, 3.0, 1.0])


def labels(shape: tuple[int, int, int], affine: np.ndarray = AFFINE) -> Volume:
    return Volume(np.ones(shape, np.uint8), affine, Kind.LABELS)


@pytest.mark.parametrize("turned", [False, True])
def test_equal_affines_of_unequal_shapes_are_not_called_different(turned: bool) -> None:
    prediction = labels((6, 5, 3))
    if turned:
        prediction = prediction.reoriented("SPL")
    with pytest.raises(InputError) as caught:
        on_grid_of(labels((6, 5, 4)), prediction, Grid.SAME)
    message = str(caught.value)
    assert "6 × 5 × 4 voxels" in message
    assert "although their affines agree, so one of them was cut or padded" in message
    assert "headers are" not in message
    array, _ = on_grid_of(labels((6, 5, 4)), prediction, Grid.WORLD)
    assert array.shape == (6, 5, 4)
    assert array[..., :3].all()
    assert not array[..., 3].any()


def test_unequal_affines_are_still_what_differs() -> None:
    with pytest.raises(InputError, match="same shape, so the headers are what differs"):
        on_grid_of(labels((6, 5, 4)), labels((6, 5, 4), np.diag([-0.7, -0.8, 3, 1])), Grid.SAME)
    with pytest.raises(InputError, match="and their headers are what differs"):
        on_grid_of(labels((6, 5, 4)), labels((6, 5, 3), np.diag([-0.7, -0.8, 3, 1])), Grid.SAME)
