"""``renalis cohort``: what `renalis segment` made of many scans."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from renalis.cli.closed_pipes import until_pipe_closes

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="read all results and compare them with the hashes in manifest.jsonl",
        description="read all results and compare them with the hashes in manifest.jsonl; exit "
        "code 1 if a file is missing or altered",
    )
    check.add_argument("output", type=Path, metavar="OUT", help="-o folder of renalis segment")
    check.add_argument("--json", action="store_true", help="print all findings for machines")
    report = actions.add_parser(
        "report",
        help="write OUT/cohort.html: failures, doubtful cases, distributions, times",
        description="write OUT/cohort.html anew from the results that are there, as `renalis "
        "segment` does when it ends; also while it still works",
    )
    report.add_argument("output", metavar="OUT", help="-o folder or URL of renalis segment")


def run(arguments: argparse.Namespace) -> int:
    """Carry the chosen action out."""
    return _report(arguments) if arguments.action == "report" else _check(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from renalis.cohort.report.write import write_cohort_page
    from renalis.remote.locations import is_url

    path: Path | str
    if is_url(arguments.output):
        path = _stored_report(arguments.output)
    else:
        path = write_cohort_page(Path(arguments.output))
    with until_pipe_closes(sys.stdout):
        print(f"open {path}")
    return 0


def _stored_report(url: str) -> str:
    from renalis.cohort.report.stored_page import write_stored_page
    from renalis.remote.locations import open_location
    from renalis.remote.staging import staging_folder

    with staging_folder(None) as folder:
        return write_stored_page(open_location(url), folder)


def _check(arguments: argparse.Namespace) -> int:
    """Check the results of a cohort: 0 all as written, 1 something missing or altered."""
    from renalis.cohort.check import check_cohort

    found = check_cohort(arguments.output)
    with until_pipe_closes(sys.stdout):
        if arguments.json:
            print(json.dumps(found.as_json(), indent=1))
        else:
            for finding in found.findings:
                print(f"{finding.case}/{finding.file} is {finding.what}")
            for case in found.unlisted:
                print(f"{case} is not in the manifest")
            for problem in found.failed.values():
                print(f"failed: {problem}")
            wrong = len(found.findings)
            print(
                f"{found.files} files of {found.cases} cases: "
                + (f"{wrong} missing or altered" if wrong else "all as they were written")
                + (f"; {len(found.failed)} cases failed" if found.failed else "")
            )
    return 1 if found.findings else 0
