"""Model files and checkpoints: safetensors whose header is not about what follows."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from random import Random
from typing import Any

import torch
from helpers.stub import stub_model

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS, changed_bytes
from renalis.errors import RenalisError
from renalis.model import load_model, load_system_model, read_any_header, save_model
from renalis.networks import build
from renalis.training.checkpoint import load_weights, read_metadata, read_weights, save_weights

__all__ = ["target"]


class Model:
    """One file, read as a model, a packed system and a checkpoint."""

    def __init__(self, scratch: Path) -> None:
        header = stub_model().header
        torch.set_num_threads(1)
        networks = {s: build(dict(header.stage(s).network)) for s in ("coarse", "fine")}
        save_model(scratch / "model.safetensors", header, networks)
        self.network = torch.nn.Linear(3, 2)
        save_weights(scratch / "weights.safetensors", self.network.state_dict(), {"epoch": 3})
        self.seeds = {p.name: p.read_bytes() for p in sorted(scratch.iterdir())}

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a file whose header was changed."""
        name = rng.choice(("model.safetensors", "model.safetensors", "weights.safetensors"))
        content = self.seeds[name]
        length = int.from_bytes(content[:8], "little")
        roll = rng.random()
        if roll < 0.1:
            value = rng.choice(ODD_INTEGERS) & (2**64 - 1)
            content, words = struct.pack("<Q", value) + content[8:], ["length"]
        elif roll < 0.35:
            content, words = changed_bytes(content, rng, early=8 + length)
        elif roll < 0.45:
            deep = rng.choice(("[", '{"a":', '{"__metadata__":')) * rng.choice((50, 5000, 100000))
            head = deep.encode()
            content, words = struct.pack("<Q", len(head)) + head + content[8 + length :], ["depth"]
        else:
            entries = json.loads(content[8 : 8 + length])
            words = [self._entry(entries, rng) for _ in range(rng.choice((1, 1, 2)))]
            head = json.dumps(entries).encode("utf-8", "replace")
            content = struct.pack("<Q", len(head)) + head + content[8 + length :]
        (folder / name).write_bytes(content)
        return [name, *words]

    @staticmethod
    def _entry(entries: dict[str, Any], rng: Random) -> str:
        odd = rng.choice((*ODD_INTEGERS, *ODD_FLOATS, *ODD_TEXTS, None, [], {}, [[1]], True))
        name = rng.choice(list(entries))
        if name == "__metadata__" or rng.random() < 0.5:
            texts = entries.get("__metadata__")
            key = next(iter(texts), "") if isinstance(texts, dict) else ""
            try:
                fields = json.loads(texts[key])
                path = _changed_field(fields, odd, rng)
                texts[key] = json.dumps(fields)
                return f"field {path}"
            except (TypeError, ValueError, KeyError):
                entries["__metadata__"] = odd
                return "metadata"
        if rng.random() < 0.2 or not isinstance(entries[name], dict):
            entries[name] = odd
            return "an entry"
        part = rng.choice(("dtype", "shape", "data_offsets"))
        values = entries[name].get(part)
        if isinstance(values, list) and values and rng.random() < 0.7:
            values[rng.randrange(len(values))] = odd
        else:
            choices = ([odd], [0, 2**40], [2**31] * 4, "F64", "BF16", "I8", [-1, 4], [4, 0], odd)
            entries[name][part] = rng.choice(choices)
        return part

    def use(self, folder: Path) -> None:
        """Read it in every way."""
        path = next(folder.iterdir())
        for read in (read_any_header, load_system_model, read_metadata, read_weights):
            with contextlib.suppress(RenalisError):
                read(path)
        if path.name.startswith("weights"):
            load_weights(path, self.network)
            return
        model = load_model(path)
        for stage in ("coarse", "fine"):
            model.network(stage)


def _changed_field(fields: Any, odd: Any, rng: Random) -> str:
    """Set one field at any depth."""
    path = []
    while True:
        keys = list(fields) if isinstance(fields, dict) else range(len(fields))
        if not keys:
            return "nothing"
        key = rng.choice(list(keys))
        path.append(str(key))
        if not isinstance(fields[key], dict | list) or not fields[key] or rng.random() < 0.2:
            fields[key] = odd
            return ".".join(path)
        fields = fields[key]


def target(scratch: Path) -> Model:
    """What tries model files."""
    return Model(scratch)
