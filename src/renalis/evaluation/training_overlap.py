"""Data leakage: scored cases that the predicting model was trained or validated with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from renalis.errors import InputError
from renalis.evaluation.label_sources import LabelKind, kind_of
from renalis.evaluation.pairing import CasePair
from renalis.io.read_labels import read_label_map
from renalis.known_cases import OUT_OF_FOLD, SEEN, KnownModel
from renalis.voxel_hash import label_hash

__all__ = ["first_names", "seen_in_training", "seen_sentences"]

_NAMED = 5
_PROVENANCE = "provenance.json"


def seen_in_training(pairs: Iterable[CasePair], model: KnownModel | None = None) -> dict[str, str]:
    """Training and validation cases of the model, and a sentence about each.

    Parameters
    ----------
    pairs : iterable of CasePair
        Where the files are. What ``renalis segment`` noted in ``provenance.json`` next to a
        prediction counts first.
    model : KnownModel, optional
        For predictions without it. Cases are recognized by the voxels of their references, else by
        their names.
    """
    found = {}
    for pair in pairs:
        if pair.prediction is None:
            continue
        sentence = _noted(pair.prediction)
        if sentence is None and model is not None:
            sentence = _known(pair, model)
        if sentence:
            found[pair.case_id] = sentence
    return found


def seen_sentences(seen: dict[str, str], total: int) -> list[str]:
    """The same for people: one sentence for all cases that it fits."""
    by_sentence: dict[str, list[str]] = {}
    for case, sentence in seen.items():
        by_sentence.setdefault(sentence, []).append(case)
    return [
        f"{len(cases)} of {total} cases: {sentence} ({first_names(cases)})"
        for sentence, cases in by_sentence.items()
    ]


def first_names(cases: Iterable[str]) -> str:
    """The first of many cases."""
    names = list(cases)
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _noted(prediction: Path) -> str | None:
    """What stands next to a prediction; empty: that the model had not seen it; None: nothing."""
    name = prediction.name.removesuffix(".gz").removesuffix(".nii")
    out_of_fold = _json(prediction.with_name(f"{name}.json"))
    if out_of_fold.get("format") == OUT_OF_FOLD:
        return ""
    content = _json(prediction.parent / _PROVENANCE)
    files, seen = content.get("files"), content.get(SEEN)
    if not isinstance(files, list) or prediction.name not in files or not isinstance(seen, list):
        return None
    return "; ".join(str(one.get("sentence", "")) for one in seen if isinstance(one, dict))


def _json(path: Path) -> dict[str, Any]:
    """A file's content; nothing where there is none of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _known(pair: CasePair, model: KnownModel) -> str:
    """Whether the model knows the reference, or a case of that name."""
    if model.cases is None:
        return ""
    names = _names((pair.case_id, *pair.names))
    label = _reference_hash(pair.reference) if model.cases.hashes else ""
    seen = model.seen(names, label=label)
    return "" if seen is None else seen.sentence


def _names(names: Sequence[str]) -> set[str]:
    """Cases' names with their files' endings and without."""
    first = {part for name in names for part in (name, *name.split("/"))}
    return first | {name.split(".nii")[0] for name in first}


def _reference_hash(path: Path) -> str:
    """Of a map of values; other files are not what training reads."""
    if kind_of(path) is not LabelKind.VALUES:
        return ""
    try:
        labels = read_label_map(path, placed=False)
    except InputError:  # said when it is scored
        return ""
    return label_hash(labels)
