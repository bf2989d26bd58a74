"""``renalis model``: list, describe, pack and export models; torch is not needed to look at one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.tables import value_text
from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.model_header import ModelHeader, SystemHeader

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the models that come with renalis")
    listing.add_argument("--json", action="store_true", help="for machines")
    info = actions.add_parser("info", help="everything that is known about a model")
    info.add_argument("model", nargs="?", default="renalis-kidney", metavar="NAME|FILE")
    info.add_argument("--json", action="store_true", help="the header as it is stored")
    info.add_argument(
        "--monai", action="store_true", help="as metadata.json of a MONAI bundle has it"
    )
    info.add_argument("--verify", action="store_true", help="compare the weights' checksum too")
    pack = actions.add_parser("pack", help="make a model file of a finished training")
    pack.add_argument("run", type=Path, metavar="RUN", help="folder of renalis train")
    pack.add_argument("--scores", type=Path, metavar="JSON", help="what was measured, and on what")
    pack.add_argument(
        "--history", default="", help="notes on the training that are not in the recipe"
    )
    pack.add_argument("--version", default="1", help="the model's version (default 1)")
    pack.add_argument("--licence", help="SPDX name of the terms of a published system's weights")
    pack.add_argument("--credit", help="whom to credit for its training data")
    pack.add_argument(
        "--commercial-use", action="store_true", help="these terms allow commercial use"
    )
    pack.add_argument(
        "--anonymous",
        action="store_true",
        help="leave the names of the training cases out; scans of theirs are still recognized",
    )
    calibrate = actions.add_parser(
        "calibrate",
        help="measure how sure results with references are to be",
        description="measure with results of renalis segment and references how often such results "
        "are right; renalis segment --confidence FILE then says so of others made alike",
    )
    calibrate.add_argument("results", type=Path, metavar="OUT", help="-o of renalis segment")
    calibrate.add_argument(
        "-r",
        "--reference",
        type=Path,
        required=True,
        metavar="LABELS",
        help="folder of label maps (KiTS23's labels) of cases that trained nothing",
    )
    calibrate.add_argument("-o", "--output", type=Path, required=True, metavar="JSON")
    export = actions.add_parser("export", help="write the networks for another program")
    export.add_argument("model", nargs="?", default="renalis-kidney", metavar="NAME|FILE")
    export.add_argument("--to", choices=("openvino", "onnx", "torch"), required=True)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> int:
    """List, describe or export."""
    if arguments.action == "list":
        return _list(arguments.json)
    if arguments.action == "info":
        return _info(arguments.model, arguments.json, arguments.verify, arguments.monai)
    if arguments.action == "pack":
        return _pack(arguments)
    if arguments.action == "calibrate":
        return _calibrate(arguments.results, arguments.reference, arguments.output)
    return _export(arguments.model, arguments.to, arguments.output)


def _list(as_json: bool) -> int:
    from renalis.model import available_models, read_header

    found = [(path, read_header(path)) for path in available_models()]
    if as_json:
        print(json.dumps([{"name": h.name, "version": h.version, "licence": h.licence}
                          for _, h in found], indent=1))  # fmt: skip
        return 0
    if not found:
        print("no model comes with this installation")
    for path, header in found:
        size = path.stat().st_size / 1e6
        print(f"{header.name:<20} {header.version:<10} {size:5.1f} MB  {header.licence}")
    return 0


def _info(name: str, as_json: bool, verify: bool, monai: bool) -> int:
    from renalis.model import load_model, load_system_model, read_any_header
    from renalis.model_header import SystemHeader

    header = read_any_header(name)
    if verify:
        (load_system_model if isinstance(header, SystemHeader) else load_model)(name)
    if monai:
        from renalis.systems.monai_metadata import monai_metadata

        print(json.dumps(monai_metadata(header), indent=1))
        return 0
    if as_json:
        print(header.model_dump_json(indent=1))
        return 0
    print("\n".join(_lines(header)))
    if verify:
        print("checksum   agrees with the weights")
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from renalis.errors import InputError
    from renalis.systems.pack import LicenceTerms, ModelDescription, pack_run

    scores, measured = arguments.scores, {}
    if scores is not None:
        try:
            measured = json.loads(scores.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{scores} cannot be read as JSON: {error}") from error
    description = ModelDescription(
        scores=measured,
        history=arguments.history,
        version=arguments.version,
        anonymous=arguments.anonymous,
    )
    given = {"licence": arguments.licence, "data_credit": arguments.credit}
    given = {name: text for name, text in given.items() if text is not None}
    own = given or arguments.commercial_use
    terms = LicenceTerms(**given, commercial_use=arguments.commercial_use) if own else None
    print(pack_run(arguments.run, description, terms))
    return 0


def _calibrate(results: Path, reference: Path, output: Path) -> int:
    from renalis.calibration import OwnCalibration
    from renalis.errors import InputError
    from renalis.evaluation.confidence_curves import fits_of
    from renalis.evaluation.confidence_findings import findings_of
    from renalis.io import write_text

    findings = list(findings_of(results, reference))
    ways = {one.way for one in findings}
    if len(ways) > 1 or "" in ways:
        raise InputError(
            f"the results in {results} were not all made with the same networks and options, or "
            "that is not known of them; segment all anew into another folder"
        )
    fits, measured = fits_of(findings, f"{len(findings)} cases with references")
    content = OwnCalibration(way_sha256=ways.pop(), fits=fits, measured=measured)
    write_text(output, content.model_dump_json(indent=2) + "\n")
    for what, title in (("case", "cases"), ("lesion", "lesions"), ("kind", "lesions, kind")):
        one = measured[what]
        print(
            f"{title:<14}{one['count']:>5}  mean error {one['mean_absolute_error']:.3f}, rank "
            f"{'-' if one['rank'] is None else one['rank']}, errors in the doubtful tenth "
            f"{100 * one['errors_in_doubtful_tenth']:.0f} %"
        )
    print(f"next: renalis segment SCANS -o OUT --confidence {output}, and the options of {results}")
    return 0


def _lines(header: ModelHeader | SystemHeader) -> list[str]:
    """The header for people."""
    from renalis.model_header import ModelHeader

    commercial = "allowed" if header.commercial_use else "NOT allowed"
    lines = [
        f"{header.name} {header.version} ({header.created})",
        f"licence    {header.licence}; commercial use {commercial}",
        f"data       {header.data_credit}",
        f"labels     {header.labels}",
        f"checksum   {header.sha256}",
        *(f"needs      {need}" for need in header.needs),
    ]
    if isinstance(header, ModelHeader):
        for stage in header.stages:
            mm = " x ".join(f"{s:g}" for s in stage.spacing_mm)
            patch = " x ".join(str(n) for n in stage.patch)
            low, high = stage.window_hu
            lines.append(f"{stage.name:<10} {mm} mm, window {patch} voxels, {low:g} to {high:g} HU")
        lines.append(f"thresholds {value_text(header.thresholds.model_dump())}")
    else:
        lines.append(f"folds      {', '.join(str(fold.number) for fold in header.folds)}")
    for title, content in (("training", header.training), ("scores", header.scores)):
        if content:
            lines.append(title)
            lines += [f"  {name}: {value_text(value)}" for name, value in content.items()]
    return lines


def _export(name: str, kind: str, output: Path) -> int:
    from renalis.model import load_model
    from renalis.prediction.runtimes import export

    write = {
        "openvino": export.export_openvino,
        "onnx": export.export_onnx,
        "torch": export.export_torch,
    }
    files = write[kind](load_model(name), output)
    if not files:
        raise UsageError(f"there is nothing to export in {name}")
    for path in files:
        print(path)
    return 0
