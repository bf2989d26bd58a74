"""Out-of-fold label maps made by the nodes of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from renalis.cluster.connection import RayPlace
from renalis.cluster.node_process import Do, Say
from renalis.cluster.ray_work import Answer, RayWork
from renalis.cluster.shared_folder import require_seen
from renalis.crossvalidation.out_of_fold import MARK, Made, Wanted, label_map, predictor
from renalis.crossvalidation.runs import CrossRun, open_cross_run
from renalis.errors import OutputError, RenalisError

__all__ = ["open_predictions", "predicted_on_ray"]


def predicted_on_ray(
    run: CrossRun,
    wanted: Sequence[Wanted],
    folder: Path,
    place: RayPlace,
    report: Callable[[str], None],
) -> Iterator[Made]:
    """Predict cases; what became of them, as they are done.

    Parameters
    ----------
    run : CrossRun
    wanted : sequence of Wanted
        Cases of a fold next to each other: a process opens the networks of one fold at a time.
    folder : Path
        Of the run's results, which all nodes share.
    place : RayPlace
        Which cluster.
    report : callable
        Takes progress lines.

    Raises
    ------
    OutputError
        If something cannot be written, or a node does not see the folder.
    """
    settings = {
        "run": f"{run.name}={os.path.abspath(run.path)}",
        "folder": os.path.abspath(folder),
        "device": place.device,
    }
    jobs = (
        {
            "name": one.case,
            "case": one.case,
            "fold": one.fold,
            "image": os.path.abspath(one.image),
            "key": one.key,
        }
        for one in wanted
    )
    work = RayWork(f"{__name__}:open_predictions", settings, place)

    def begun(job: Mapping[str, Any]) -> None:
        report(f"{run.name}: {job['case']} by fold {job['fold']}")

    with closing(work.run(jobs, begun)) as ends:
        for end in ends:
            case = str(end.job["case"])
            if isinstance(end, Answer):
                if end.result["output"]:
                    raise OutputError(end.result["output"])
                problem = end.result["problem"]
                if not problem:
                    require_seen(label_map(folder, case))
                yield Made(case, tuple(end.result["notes"]), problem)
                continue
            gone = "its node was lost" if end.how == "node" else "its process ended without a word"
            if end.again:
                report(f"{run.name}: {case}: {gone}; it is predicted again elsewhere")
            else:
                yield Made(case, (), gone)


def open_predictions(settings: Mapping[str, Any], say: Say) -> Do:
    """What predicts cases on a node; see `renalis.cluster.node_process.NodeProcess`."""
    folder = Path(settings["folder"])
    require_seen(folder / MARK)
    predict = predictor(open_cross_run(settings["run"]), folder, settings["device"])

    def do(job: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"notes": [], "problem": "", "output": ""}
        try:
            one = Wanted(int(job["fold"]), job["case"], Path(job["image"]), job["key"])
            found["notes"] = list(predict(one))
        except OutputError as error:
            found["output"] = str(error)
        except RenalisError as error:
            found["problem"] = str(error)
        except Exception as error:
            found["problem"] = f"{type(error).__name__}: {error}"
        return found

    return do
