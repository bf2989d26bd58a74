"""Model files: what was saved comes back, and damaged or hostile ones end in a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from renalis.errors import InputError, RenalisError
from renalis.model import load_model, read_header, save_model
from renalis.model_header import ModelHeader
from renalis.networks import build

NETWORK = {"name": "unet", "in_channels": 1, "out_channels": 4, "channels": [4, 8]}


def header(**changes: Any) -> ModelHeader:
    stage = {"patch": [16, 16, 16], "window_hu": [-200, 400], "network": NETWORK}
    content = {
        "name": "tiny",
        "version": "1",
        "created": "2026-01-01",
        "stages": [
            {"name": "coarse", "spacing_mm": [4, 4, 4], **stage},
            {"name": "fine", "spacing_mm": [2, 2, 2], **stage},
        ],
        "licence": "CC-BY-NC-SA-4.0",
        "commercial_use": False,
        "data_credit": "nobody",
    }
    return ModelHeader.model_validate(content | changes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    networks = {"coarse": build(NETWORK), "fine": build(NETWORK)}
    return save_model(tmp_path_factory.mktemp("m") / "tiny.safetensors", header(), networks)


def test_weights_that_layers_share_come_back(tmp_path: Path) -> None:
    networks = {"coarse": build(NETWORK), "fine": build(NETWORK)}
    fine = networks["fine"]
    layers = [layer for layer in fine.modules() if isinstance(layer, torch.nn.Conv3d)]
    one, two = [layer for layer in layers if layer.weight.shape == (4, 4, 3, 3, 3)]
    two.weight = one.weight
    path = save_model(tmp_path / "tied.safetensors", header(), networks)
    found = load_model(path).network("fine").state_dict()
    expected = fine.half().float().state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def rewritten(saved: Path, target: Path, change: Any) -> Path:
    """The file with its JSON header changed by ``change``."""
    raw = saved.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    layout = json.loads(raw[8 : 8 + length])
    change(layout)
    text = json.dumps(layout).encode()
    target.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    return target


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(2)
    networks = {"coarse": build(NETWORK), "fine": build(NETWORK)}
    path = save_model(tmp_path / "m.safetensors", header(), networks)
    model = load_model(path)
    image = torch.randn(1, 1, 16, 16, 16)
    for stage, network in networks.items():
        half = build(NETWORK)
        half.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
        with torch.no_grad():
            assert torch.equal(model.network(stage)(image), half.eval()(image))


def test_the_file_is_plain_safetensors(saved: Path) -> None:
    theirs = load_file(saved)
    ours = load_model(saved).tensors
    assert set(theirs) == set(ours)
    for name, array in theirs.items():
        assert array.dtype == np.float16
        np.testing.assert_array_equal(array, ours[name])


def test_header_is_read_without_torch(saved: Path) -> None:
    code = (
        "import sys; from renalis.model import read_header; "
        f"print(read_header({str(saved)!r}).name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["tiny", "False"], done.stderr


def test_noncommercial_is_refused_where_asked(saved: Path) -> None:
    assert load_model(saved).header.licence == "CC-BY-NC-SA-4.0"
    with pytest.raises(InputError, match="commercial"):
        load_model(saved, require_commercial=True)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="no model 'nothing', and no folder of a training"):
        load_model("nothing")
    with pytest.raises(InputError, match="does not exist"):
        load_model("nothing.safetensors")


def test_a_run_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    missing = tmp_path / "runs" / "rc"
    with pytest.raises(InputError, match=f"the folder {missing} of a training does not exist"):
        load_model(missing)
    missing.mkdir(parents=True)
    with pytest.raises(InputError, match=f"the folder {missing} holds no run of `renalis train`"):
        load_model(missing)
    (missing / "model.bin").write_bytes(b"weights")
    with pytest.raises(InputError, match=r"model\.bin is no model file of renalis"):
        load_model(missing / "model.bin")


def test_changed_weights_are_noticed(saved: Path, tmp_path: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[-10] ^= 1
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="checksum"):
        load_model(path)


def test_weights_of_another_network_are_refused(saved: Path, tmp_path: Path) -> None:
    def wider(layout: dict[str, Any]) -> None:
        meta = json.loads(layout["__metadata__"]["renalis"])
        meta["stages"][0]["network"]["channels"] = [4, 16]
        layout["__metadata__"]["renalis"] = json.dumps(meta)

    model = load_model(rewritten(saved, tmp_path / "m.safetensors", wider))
    with pytest.raises(InputError, match="do not fit"):
        model.network("coarse")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stages", []),
        ("stages", None),
        ("format", 3),
        ("labels", "kits99"),
        ("name", "../../etc/passwd"),
        ("surprise", 1),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(
    saved: Path, tmp_path: Path, field: str, value: Any
) -> None:
    def change(layout: dict[str, Any]) -> None:
        meta = json.loads(layout["__metadata__"]["renalis"])
        meta[field] = value
        layout["__metadata__"]["renalis"] = json.dumps(meta)

    with pytest.raises(InputError, match=field):
        read_header(rewritten(saved, tmp_path / "m.safetensors", change))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network", {"name": "unet", "channels": [100000]}),
        ("network", {"name": "unet", "channels": [8] * 50}),
        ("network", {**NETWORK, "in_channels": 2}),
        ("network", {**NETWORK, "out_channels": 3}),
        ("window_hu", [400, -200]),
        ("window_hu", [0, float("inf")]),
        ("spacing_mm", [0, 1, 1]),
        ("patch", [100000, 16, 16]),
    ],
)
def test_an_impossible_stage_is_refused(saved: Path, tmp_path: Path, key: str, value: Any) -> None:
    def change(layout: dict[str, Any]) -> None:
        meta = json.loads(layout["__metadata__"]["renalis"])
        meta["stages"][1][key] = value
        layout["__metadata__"]["renalis"] = json.dumps(meta)

    with pytest.raises(InputError):
        read_header(rewritten(saved, tmp_path / "m.safetensors", change))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"hello, I am a model",
        (1 << 60).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="model"):
        load_model(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_anywhere_ends_in_a_sentence(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    raw = bytearray(saved.read_bytes())
    head = 8 + int.from_bytes(raw[:8], "little")
    for place in data.draw(st.lists(st.integers(0, head - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("d") / "m.safetensors"
    path.write_bytes(raw[: data.draw(st.integers(head // 2, len(raw)))])
    message = str(path)
    try:
        load_model(path).network("coarse")
    except RenalisError as error:
        message = str(error)
    assert str(path) in message
