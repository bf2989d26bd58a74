"""Tables and records: splits, manifests, scores, measurements, provenance, datasets' own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import nibabel as nib
import numpy as np

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS, changed_bytes
from renalis.conventions import Convention
from renalis.corrections import find_results, versions
from renalis.dataset import load_splits, open_dataset
from renalis.errors import RenalisError
from renalis.evaluation.evaluated_systems import common_cases, read_strata, read_system
from renalis.pipeline.folder import provenance
from renalis.pipeline.table import write_table
from renalis.recipes.reading import stored_system

__all__ = ["target"]

_CSV = "case,image,label,patient,age\nc1,a.nii.gz,b.nii.gz,p1,61\nc2,a.nii.gz,,p2,\n"
_SCORES = {
    "labels": "kits23",
    "cases": [
        {"case": "c1", "thickness_mm": 3.0, "reference_ml": {"kidney": 300.0},
         "regions": {"kidney": {"dice": 0.9, "hd95_mm": 3.0}}},
        {"case": "c2", "regions": {"kidney": {"dice": 0.8}}},
    ],
}  # fmt: skip
_SEEDS: dict[str, str] = {
    "split.json": json.dumps({"format": "renalis split", "version": 1, "dataset": "x", "made": {},
                              "folds": [{"train": ["a"], "val": ["b"], "test": ["c"]}]}),
    "splits_final.json": json.dumps([{"train": ["a", "b"], "val": ["c"]}]),
    "cases.csv": _CSV,
    "table.csv": _CSV.replace(",", ";"),
    "metrics.json": json.dumps(_SCORES),
    "metrics.csv": "case_id,Dice_kidney,Dice_masses\ncase_1,0.9,0.5\ncase_2,0.8,0.4\n",
    "kits.json": json.dumps([{"case_id": "case_00000", "age_at_nephrectomy": 60, "x": {"y": 1}}]),
    "dataset.json": json.dumps({"channel_names": {"0": "CT"}, "numTraining": 1,
                                "labels": {"background": 0, "kidney": 1, "tumor": 2},
                                "file_ending": ".nii.gz"}),
    "provenance.json": json.dumps({"key": "k", "case": "c", "formats": [], "row": {"case": "c"},
                                   "notes": [], "labels_sha256": "0" * 64}),
    "measurements.json": json.dumps({"case": "c", "kidneys": [], "lesions": []}),
    "recipe.json": json.dumps({"needs": [], "name": "x", "stages": []}),
}  # fmt: skip


def _value(rng: Random) -> Any:
    deep: Any = 1
    for _ in range(rng.choice((1, 40))):
        deep = [deep]
    return rng.choice(
        (*ODD_INTEGERS, *ODD_FLOATS, *ODD_TEXTS, None, [], {}, True, deep, {"a": deep})
    )


class Tables:
    """One file, read as what it is called."""

    def __init__(self, scratch: Path) -> None:
        self.scan = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)).to_bytes()

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a file with values, keys or bytes changed."""
        name = rng.choice(list(_SEEDS))
        text = _SEEDS[name]
        roll = rng.random()
        if roll < 0.3:
            content, words = changed_bytes(text.encode(), rng)
        elif roll < 0.35 and name.endswith(".json"):
            deep = rng.choice(("[", '{"a":')) * rng.choice((100, 5000, 100000))
            content, words = deep.encode(), ["depth"]
        elif name.endswith(".json"):
            data = json.loads(text)
            words = []
            for _ in range(rng.choice((1, 1, 2))):
                words.append(self._field(data, rng))
            content = json.dumps(data).encode("utf-8", "replace")
        else:
            rows = [line.split(";" if ";" in text else ",") for line in text.splitlines()]
            for _ in range(rng.choice((1, 2))):
                row = rng.choice(rows)
                row[rng.randrange(len(row))] = str(rng.choice((*ODD_TEXTS, *ODD_FLOATS)))
            content = "\n".join(",".join(row) for row in rows).encode("utf-8", "replace")
            words = ["cells"]
        (folder / name).write_bytes(content)
        return [name, *words]

    @staticmethod
    def _field(data: Any, rng: Random) -> str:
        while True:
            keys = list(data) if isinstance(data, dict) else list(range(len(data)))
            if not keys:
                return "nothing"
            key = rng.choice(keys)
            if isinstance(data[key], dict | list) and data[key] and rng.random() < 0.7:
                data = data[key]
                continue
            if isinstance(data, dict) and rng.random() < 0.2:
                del data[key]
                return f"no {key}"
            data[key] = _value(rng)
            return str(key)

    def use(self, folder: Path) -> None:
        """Read it in every way that its name allows."""
        path = next(folder.iterdir())
        uses = _USES.get(path.name, (load_splits, _scores))
        if path.suffix in (".csv", ".json"):
            for name in ("a.nii.gz", "b.nii.gz"):
                (folder / name).write_bytes(self.scan)
        last: RenalisError | None = None
        for use in uses:
            try:
                use(path)
            except RenalisError as error:
                last = error
        if last is not None:
            raise last


def _scores(path: Path) -> None:
    common_cases([read_system(f"a={path}"), read_system(f"b={path}")])


def _dataset(path: Path) -> None:
    open_dataset(path, "csv", Convention.KITS23)


def _folder(path: Path) -> None:
    images, labels = path.parent / "images", path.parent / "labels"
    for folder in (images, labels):
        folder.mkdir(exist_ok=True)
        (folder / "c1.nii.gz").write_bytes((path.parent / "a.nii.gz").read_bytes())
    open_dataset(path.parent, "folder", Convention.KITS23)


def _kits(path: Path) -> None:
    case = path.parent / "case_00000"
    case.mkdir(exist_ok=True)
    for name in ("imaging.nii.gz", "segmentation.nii.gz"):
        (case / name).write_bytes((path.parent / "a.nii.gz").read_bytes())
    open_dataset(path.parent, "kits23")


def _nnunet(path: Path) -> None:
    for folder, name in (("imagesTr", "c_0000.nii.gz"), ("labelsTr", "c.nii.gz")):
        (path.parent / folder).mkdir(exist_ok=True)
        (path.parent / folder / name).write_bytes((path.parent / "a.nii.gz").read_bytes())
    open_dataset(path.parent, "nnunet")


def _result(path: Path) -> None:
    case = path.parent / "out" / "c"
    case.mkdir(parents=True, exist_ok=True)
    (case / path.name).write_bytes(path.read_bytes())
    provenance(case)
    write_table(case.parent)
    for result in find_results(case.parent):
        versions(result)


_USES: dict[str, tuple[Callable[[Path], Any], ...]] = {
    "cases.csv": (_dataset, _folder, lambda p: read_strata(p, ())),
    "table.csv": (_dataset, lambda p: read_strata(p, ("age",))),
    "metrics.csv": (_scores,),
    "metrics.json": (_scores,),
    "kits.json": (_kits,),
    "dataset.json": (_nnunet,),
    "provenance.json": (_result,),
    "measurements.json": (_result,),
    "recipe.json": (lambda p: stored_system(p.parent),),
}


def target(scratch: Path) -> Tables:
    """What tries tables and records."""
    return Tables(scratch)
