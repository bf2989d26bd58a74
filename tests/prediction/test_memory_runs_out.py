"""Where memory does not suffice for a batch, fewer are computed at once; where a GPU is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers.stub import phantom, stub_model
from numpy.typing import NDArray
from torch import Tensor, nn

from renalis.compute_failures import (
    DeviceLostError,
    is_device_lost,
    is_out_of_memory,
    with_freed_memory,
)
from renalis.errors import MemoryWarning
from renalis.io import Scan, read_scan
from renalis.model import Model
from renalis.prediction.cascade import Networks, open_networks, predict
from renalis.prediction.network_inputs import torch_network
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName
from renalis.prediction.sliding import slide
from renalis.systems.coarse_to_fine import CoarseToFineSegmenter
from renalis.systems.segmenter import Clock, StepListener
from renalis.systems.system_segmenter import SystemSegmenter

WORDS = (
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)",
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB",
    "Exception from src/inference/src/cpp/infer_request.cpp:223:\nstd::bad_alloc",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer",
)
OPTIONS = PredictionOptions(runtime=RuntimeName.TORCH, mirror=Mirror.NONE, keep_heap=False)


class Bounded:
    """A network with memory for so many patches at a time; what it says is up to the library."""

    def __init__(self, most: int, error: Callable[[], Exception] = MemoryError) -> None:
        self.most, self.error, self.sizes = most, error, list[int]()

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(len(patches))
        if len(patches) > self.most:
            raise self.error()
        return np.concatenate([patches, patches / 2, patches / 4], 1)


@pytest.mark.parametrize("words", WORDS)
def test_every_library_says_so_in_its_own_words(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))
    assert not is_device_lost(RuntimeError(words))
    assert not is_out_of_memory(ValueError(words))


def test_what_torch_and_numpy_raise_is_known() -> None:
    for ask in (lambda: torch.empty(1 << 62, dtype=torch.uint8), lambda: np.empty(1 << 62, "u1")):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            ask()
        assert is_out_of_memory(error.value)


@pytest.mark.parametrize("error", [MemoryError, lambda: RuntimeError(WORDS[0])])
def test_half_as_many_windows_give_the_same_probabilities(error: Callable[[], Exception]) -> None:
    image = np.random.default_rng(0).random((1, 8, 8, 30), np.float32)
    windows = [(0, 0, x) for x in range(0, 23, 2)]
    whole = slide(image, Bounded(6), (8, 8, 8), windows, together=6)
    network = Bounded(2, error)
    parts = slide(image, network, (8, 8, 8), windows, together=6)
    np.testing.assert_array_equal(parts.probability, whole.probability)
    assert (whole.fewer, parts.fewer) == (None, 2)
    # Twice the same, in case freed memory suffices, and never so many again
    assert network.sizes[:4] == [6, 6, 3, 3]
    assert max(network.sizes[4:]) == 2


def test_memory_that_is_freed_may_suffice() -> None:
    tries: list[int] = []

    def compute() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError(WORDS[1])
        return "done"

    assert with_freed_memory(compute) == "done"


def test_a_single_window_too_many_is_an_error_that_the_case_ends_with() -> None:
    image = np.zeros((1, 8, 8, 8), np.float32)
    network = Bounded(0, lambda: RuntimeError(WORDS[2]))
    with pytest.raises(MemoryError):
        slide(image, network, (8, 8, 8), [(0, 0, 0)])
    with pytest.raises(RuntimeError, match="shapes"):
        slide(image, Bounded(0, lambda: RuntimeError("shapes")), (8, 8, 8), [(0, 0, 0)])


class Hungry(nn.Module):
    """torch's own error where a batch is larger than two."""

    def forward(self, patches: Tensor) -> Tensor:
        if len(patches) > 2:
            raise torch.OutOfMemoryError(WORDS[1])
        return patches * 3


def test_a_recipes_network_computes_a_batch_in_parts_and_says_so() -> None:
    batch = np.random.default_rng(0).random((7, 2, 4, 4), np.float32)
    network = torch_network(Hungry(), {"seg": "softmax"})
    with pytest.warns(MemoryWarning, match="memory ran out with 7 patches at a time"):
        parts = network(batch)["seg"]
    alone = np.concatenate([network(batch[i : i + 1])["seg"] for i in range(7)])
    np.testing.assert_array_equal(parts, alone)


def pooled_model() -> Model:
    model = stub_model()
    stages = [
        stage.model_copy(update={"network": {**stage.network, "pooled": stage.name == "fine"}})
        for stage in model.header.stages
    ]
    return type(model)(model.header.model_copy(update={"stages": stages}), {}, Path("stub"))


def test_windows_that_are_normalized_together_are_fewer_and_the_report_says_so() -> None:
    model, scan = pooled_model(), phantom(spacing=(4.0, 4.0, 4.0))
    opened = open_networks(model, OPTIONS)

    def fine(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(patches) > 3:
            raise MemoryError
        return opened.fine(patches)

    whole = predict(scan, model, OPTIONS, networks=opened)
    parts = predict(scan, model, OPTIONS, networks=Networks(opened.runtime, opened.coarse, fine))
    np.testing.assert_array_equal(parts.labels.array, whole.labels.array)
    assert not any("Memory" in note for note in whole.notes)
    assert any(
        "Memory ran out with 6 windows at a time; 3 were computed" in note for note in parts.notes
    )


def lost(_: NDArray[np.float32]) -> NDArray[np.float32]:
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors …")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    image = phantom(spacing=(4.0, 4.0, 4.0))
    path = tmp_path_factory.mktemp("scan") / "patient.nii.gz"
    nib.save(nib.Nifti1Image(image.array, image.affine), path)
    return read_scan(path)


def segmenter(may_move: bool) -> CoarseToFineSegmenter:
    model = stub_model()
    gone = Networks(RuntimeName.TORCH, open_networks(model, OPTIONS).coarse, lost)
    return CoarseToFineSegmenter(model, OPTIONS, networks=gone, may_move=may_move)


def test_a_gpu_that_is_gone_ends_the_case_in_one_sentence_and_the_next_one_tries_again(
    scan: Scan,
) -> None:
    asked = segmenter(may_move=False)
    said = r"the GPU stopped working \(CUDA error: .* was encountered\); run again, or"
    with pytest.raises(DeviceLostError, match=said):
        asked.segment(scan)
    assert asked.segment(scan).labels.array.any()


def test_where_the_device_was_our_choice_the_cpu_takes_over(scan: Scan) -> None:
    said: list[str] = []
    listener = StepListener()
    listener.note = said.append  # type: ignore[method-assign]
    moved = segmenter(may_move=True).segment(scan, Clock(listener))
    assert [line for line in said if "from here on the CPU computes" in line]
    whole = CoarseToFineSegmenter(stub_model(), OPTIONS).segment(scan)
    np.testing.assert_array_equal(moved.labels.array, whole.labels.array)


def test_a_system_opens_its_run_on_the_cpu(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    def segment(self: SystemSegmenter, *_: object) -> str:
        if self.sha256 == "gpu":
            raise RuntimeError("CUDA error: unspecified launch failure")
        return "segmented"

    monkeypatch.setattr(SystemSegmenter, "_segment", segment)
    on_cpu = SystemSegmenter(None, "cpu")  # type: ignore[arg-type]
    chosen = SystemSegmenter(None, "gpu", on_cpu=lambda: on_cpu)  # type: ignore[arg-type]
    assert str(chosen.segment(scan)) == "segmented"
    with pytest.raises(DeviceLostError, match="unspecified launch failure"):
        SystemSegmenter(None, "gpu").segment(scan)  # type: ignore[arg-type]
