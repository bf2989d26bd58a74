"""Every runtime gives torch's answers; the measured choice is remembered and survives damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.programs import run_program
from test_model import NETWORK, header
from torch import nn

from renalis.model import load_model, save_model
from renalis.networks import build
from renalis.prediction.cascade import open_networks
from renalis.prediction.options import PredictionOptions, RuntimeName
from renalis.prediction.runtimes import choice as runtime_choice
from renalis.prediction.runtimes.choice import (
    candidates,
    choose,
    open_network,
    phantom,
)
from renalis.prediction.runtimes.machine import cache_folder, peak_mb
from renalis.prediction.runtimes.memory_reuse import keep_freed_memory
from renalis.prediction.runtimes.torch_runtime import TorchNetwork
from renalis.prediction.runtimes.tracing import UnsupportedNetwork

FINE = NETWORK | {"stem": 2, "pooled": True}


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    stages = [s.model_dump() for s in header().stages]
    stages[1] |= {"network": FINE}
    networks = {"coarse": build(NETWORK), "fine": build(FINE)}
    return save_model(
        tmp_path_factory.mktemp("m") / "m.safetensors", header(stages=stages), networks
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_openvino_equals_torch(model_file: Path, stage: str) -> None:
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    model = load_model(model_file)
    chosen = model.header.stage(stage)
    image = np.concatenate([phantom(chosen.patch) * a for a in (1, 0.5, -0.3)])
    answers = [
        open_network(model, chosen, name)(image)
        for name in (RuntimeName.TORCH, RuntimeName.OPENVINO)
    ]
    assert answers[0].shape == (3, 3, *chosen.patch)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize("stage", ["coarse", "fine"])
def test_onnx_equals_torch(model_file: Path, stage: str) -> None:
    pytest.importorskip("renalis.prediction.runtimes.onnx_runtime")
    onnx = pytest.importorskip("onnx")
    from renalis.prediction.runtimes.onnx_graph import onnx_model

    model = load_model(model_file)
    chosen = model.header.stage(stage)
    onnx.checker.check_model(onnx_model(model.network(stage), (1, *chosen.patch)), full_check=True)
    image = np.concatenate([phantom(chosen.patch) * a for a in (1, 0.5, -0.3)])
    answers = [
        open_network(model, chosen, name)(image) for name in (RuntimeName.TORCH, RuntimeName.ONNX)
    ]
    assert answers[1].shape == (3, 3, *chosen.patch)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


@pytest.mark.parametrize("runtime", [RuntimeName.OPENVINO, RuntimeName.ONNX])
def test_longer_windows_are_computed_as_torch_does(model_file: Path, runtime: RuntimeName) -> None:
    pytest.importorskip(f"renalis.prediction.runtimes.{runtime}_runtime")
    model = load_model(model_file)
    chosen = model.header.stage("fine")
    network, ours = (open_network(model, chosen, r) for r in (RuntimeName.TORCH, runtime))
    z, y, x = chosen.patch
    for more in (0, chosen.stride):
        patch = (z + 2 * more, y, x + more)
        image = np.concatenate([phantom(patch) * a for a in (1, 0.5)])
        np.testing.assert_allclose(ours(image), network(image), atol=1e-4)


STRANGE = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.GELU())


def test_openvino_refuses_what_it_cannot_translate() -> None:
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    from renalis.prediction.runtimes.openvino_graph import openvino_graph

    with pytest.raises(UnsupportedNetwork, match="GELU"):
        openvino_graph(STRANGE, (1, 8, 8, 8))


def test_onnx_refuses_what_it_cannot_translate() -> None:
    pytest.importorskip("onnx")
    from renalis.prediction.runtimes.onnx_graph import onnx_model

    with pytest.raises(UnsupportedNetwork, match="GELU"):
        onnx_model(STRANGE, (1, 8, 8, 8))


def test_openvino_runs_without_talking_to_anyone(model_file: Path) -> None:
    """No socket is opened while the graph is built, compiled and run."""
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    code = f"""
import sys
def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("TALKED", event, args)
sys.addaudithook(hook)
from renalis.model import load_model
from renalis.prediction.runtimes.choice import open_network, phantom
from renalis.prediction.options import RuntimeName
model = load_model({str(model_file)!r})
stage = model.header.stage("fine")
print(open_network(model, stage, RuntimeName.OPENVINO)(phantom(stage.patch)).shape)
"""
    done = run_program("-c", code)
    assert "(1, 3, 16, 16, 16)" in done.stdout, done.stderr
    assert "TALKED" not in done.stdout


def test_onnx_runtime_gives_the_machine_no_identity(tmp_path: Path) -> None:
    """What it would keep of it, and send, it writes as soon as it is imported."""
    code = (
        "from renalis.prediction.runtimes.onnx_runtime import onnxruntime; "
        "print(onnxruntime.__version__)"
    )
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=kept | places)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


KEPT = {
    RuntimeName.OPENVINO: ("graph.xml", "graph.bin", "checksums.json"),
    RuntimeName.ONNX: ("graph.onnx", "checksums.json"),
}


@pytest.mark.parametrize(
    ("runtime", "damage"),
    [(runtime, name) for runtime, files in KEPT.items() for name in (*files, "")],
)
def test_a_graph_is_kept_and_damage_is_noticed(
    model_file: Path, own_cache: Path, runtime: RuntimeName, damage: str
) -> None:
    pytest.importorskip(f"renalis.prediction.runtimes.{runtime}_runtime")
    model = load_model(model_file)
    stage = model.header.stage("fine")
    image = phantom(stage.patch)
    first = open_network(model, stage, runtime)(image)
    (folder,) = (own_cache / "networks").iterdir()
    assert {path.name for path in folder.iterdir()} == set(KEPT[runtime])
    if damage:
        content = bytearray((folder / damage).read_bytes())
        content[len(content) // 2] ^= 8
        (folder / damage).write_bytes(content)
    again = open_network(load_model(model_file), stage, runtime)(image)
    np.testing.assert_array_equal(first, again)


def test_a_kept_graph_needs_no_torch(model_file: Path) -> None:
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    code = f"""
import sys
from renalis.model import load_model
from renalis.prediction.cascade import open_networks
from renalis.prediction.options import PredictionOptions, RuntimeName
model = load_model({str(model_file)!r})
open_networks(model, PredictionOptions(runtime=RuntimeName.OPENVINO, threads=1))
print("torch" in sys.modules)
"""
    options = PredictionOptions(runtime=RuntimeName.OPENVINO, threads=1)
    open_networks(load_model(model_file), options)  # keeps the graph
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_the_peak_of_memory_is_no_parents() -> None:
    said = "from renalis.prediction.runtimes.machine import peak_mb; print(peak_mb())"
    child = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert 5 < float(child.stdout) < (peak_mb() or 0) - 50


def test_probabilities_are_a_softmax(model_file: Path) -> None:
    network = load_model(model_file).network("coarse")
    image = phantom((16, 16, 16))
    ours = TorchNetwork(network)(image)
    theirs = network(torch.from_numpy(image)).softmax(1)[:, 1:].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_choice_agrees_with_torch_and_is_remembered(model_file: Path, own_cache: Path) -> None:
    model = load_model(model_file)
    choice = choose(model, 1)
    assert [trial.runtime for trial in choice.trials] == candidates()
    chosen = next(trial for trial in choice.trials if trial.runtime == choice.runtime)
    assert chosen.agrees
    (file,) = own_cache.glob("*.json")
    content = json.loads(file.read_text())
    content["runtime"] = "torch-bf16"
    file.write_text(json.dumps(content))
    assert choose(model, 1).runtime == RuntimeName.TORCH_BF16  # from the file
    assert choose(model, 1, again=True).trials != ()


@pytest.mark.parametrize(
    ("told", "faster_told", "agrees"),
    [
        ((0.05, 0.46, 0.45), (0.05, 0.45, 0.46), True),  # tumor or cyst: torch leaves it open
        ((0.26, 0.25, 0.0), (0.24, 0.25, 0.0), True),  # renal or not, likewise
        ((0.05, 0.6, 0.3), (0.05, 0.3, 0.6), False),
        ((0.8, 0.05, 0.05), (0.3, 0.05, 0.05), False),
    ],
)
def test_a_runtime_is_judged_where_torch_is_decided(
    model_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: tuple[float, ...],
    faster_told: tuple[float, ...],
    agrees: bool,
) -> None:
    """Kidney, tumor, cyst of one part of a window; the other part is kidney for both."""
    answers = {RuntimeName.TORCH: told, RuntimeName.TORCH_BF16: faster_told}

    def opened(_model: object, _stage: object, runtime: RuntimeName, _threads: int) -> Callable:
        answer = np.zeros((1, 3, 16, 16, 16), np.float32)
        answer[:, 0, :8] = 0.9
        answer[:, :, 10:] = np.reshape(answers[runtime], (1, 3, 1, 1, 1))
        return lambda _: answer

    monkeypatch.setattr(runtime_choice, "open_network", opened)
    monkeypatch.setattr(runtime_choice, "candidates", lambda: list(answers))
    trials = {trial.runtime: trial for trial in choose(load_model(model_file), 1).trials}
    assert trials[RuntimeName.TORCH_BF16].agrees is agrees


@pytest.mark.parametrize("content", ["", "{}", '{"runtime": "abacus", "trials": []}', "[1]"])
def test_a_damaged_memory_is_measured_again(
    model_file: Path, own_cache: Path, content: str
) -> None:
    model = load_model(model_file)
    choose(model, 1)
    (file,) = own_cache.glob("*.json")
    file.write_text(content)
    assert len(choose(model, 1).trials) == len(candidates())


def test_a_cache_that_cannot_be_written_does_no_harm(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert choose(load_model(model_file), 1).trials


def test_keeping_the_heap_is_possible_with_glibc() -> None:
    code = (
        "from renalis.prediction.runtimes.memory_reuse import keep_freed_memory; "
        "print(keep_freed_memory())"
    )
    done = run_program("-c", code)
    glibc = "glibc" in __import__("platform").libc_ver()[0]
    assert done.stdout.strip() == str(glibc), done.stderr
    assert callable(keep_freed_memory)


def test_signals_arrive_after_networks_are_gone(model_file: Path) -> None:
    """OpenVINO's plugin leaves its signal stack behind, freed, when a second core goes."""
    pytest.importorskip("renalis.prediction.runtimes.openvino_runtime")
    code = f"""
import gc, os, signal
from renalis.model import load_model
from renalis.prediction.runtimes.choice import open_network
from renalis.prediction.options import RuntimeName
model = load_model({str(model_file)!r})
networks = [open_network(model, s, RuntimeName.OPENVINO) for s in model.header.stages]
while networks:
    networks.pop(0)
    gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("arrived"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = run_program("-c", code)
    assert (done.returncode, done.stdout) == (0, "arrived\n"), done.stderr
