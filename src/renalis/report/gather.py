"""From what the other rooms hand over to the content of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from renalis.io import Scan
from renalis.measurement import Measurements
from renalis.measurement.structure_values import Probabilities
from renalis.report.content import ModelFacts, ReportContent
from renalis.volume import Volume

if TYPE_CHECKING:
    from renalis.model_header import ModelHeader
    from renalis.postprocessing import RuleChange

__all__ = ["Predicted", "gather", "model_facts"]


class Predicted(Probabilities, Protocol):
    """What is shown of a prediction, whatever made it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall time of each step."""

    @property
    def runtime(self) -> str:
        """What computed the networks; empty where there is no choice."""


def gather(
    scan: Scan,
    labels: Volume,
    measurements: Measurements,
    *,
    prediction: Predicted | None = None,
    changes: Sequence[RuleChange] = (),
    model: ModelFacts | None = None,
    version: str = "",
) -> ReportContent:
    """The content of the report of one case.

    Parameters
    ----------
    scan : Scan
        As it was read.
    labels : Volume
        Final label map on the scan's grid.
    measurements : Measurements
        Made from both.
    prediction : Predicted, optional
        For its notes and probabilities.
    changes : sequence of RuleChange
        What tidying did; rules that changed nothing are left out.
    model : ModelFacts, optional
        What made the prediction, see `model_facts`.
    version : str
        Version of renalis.
    """
    return ReportContent(
        case_id=scan.case_id,
        image=scan.volume,
        labels=labels,
        measurements=measurements,
        model=model,
        notes=(*scan.warnings, *(prediction.notes if prediction is not None else ())),
        changes=tuple(change.sentence for change in changes if change.voxels),
        scan_facts=tuple(_scan_facts(scan, prediction)),
        version=version,
        probabilities=prediction,
    )


def model_facts(header: ModelHeader) -> ModelFacts:
    """What a reader has to know about a model, from its file's header."""
    facts = [("Created", header.created), ("Training data", header.data_credit)]
    facts += [("Training", text) for text in _lines(header.training)]
    facts += [("Measured scores", text) for text in _lines(header.scores)]
    facts += [("Checksum (SHA-256)", header.sha256)] if header.sha256 else []
    use = "" if header.commercial_use else "; not for commercial use"
    return ModelFacts(
        name=f"{header.name} {header.version}",
        licence=f"{header.licence}{use}",
        facts=tuple(facts),
    )


def _scan_facts(scan: Scan, prediction: Predicted | None) -> Iterator[tuple[str, str]]:
    """Which series it was, which others there were, how long it took."""
    source = scan.source
    if source.series is not None:
        yield "Series", source.series.described
    if source.phase:
        yield "Contrast phase (header)", source.phase
    for other in source.others:
        yield "Not used", other.described
    if prediction is not None and prediction.seconds:
        total = sum(prediction.seconds.values())
        yield (
            "Prediction",
            f"{total:.0f} s ({prediction.runtime})" if prediction.runtime else (f"{total:.0f} s"),
        )


def _lines(facts: Mapping[str, object]) -> Iterator[str]:
    """Nested facts as one line each: ``"held-back synthetic, kidney: 0.95"``."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            for line in _lines(value):
                yield f"{name}, {line}"
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{name}: {shown}"
