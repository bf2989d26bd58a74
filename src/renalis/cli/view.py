"""``renalis view``: look at results in a browser, and correct them."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path

from renalis.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("output", type=Path, metavar="OUT", help="the -o folder of renalis segment, or one case")
    add(
        "--scans",
        nargs="+",
        default=(),
        type=Path,
        metavar="PATH",
        help="scans, or folders that hold them, where they are not where they were",
    )
    add(
        "--reference",
        type=Path,
        metavar="PATH",
        help="label map to compare with (KiTS23 labels), or a folder of them, named as the cases",
    )
    add("--compare", type=Path, metavar="OUT2", help="results of another run to compare with")
    add("--who", default="", metavar="NAME", help="whose corrections these are (default: login)")
    add("--port", type=int, default=0, metavar="N", help="port on this machine (default: any free)")
    add("--no-browser", action="store_true", help="print the address, open nothing")
    add("--debug", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if not 0 <= arguments.port <= 65535:
        raise UsageError("--port is between 0 (any free one) and 65535")
    from renalis.viewer import App, Cases
    from renalis.viewer.server import start

    cases = Cases.of(
        arguments.output,
        scans=arguments.scans,
        reference=arguments.reference,
        compare=arguments.compare,
        who=arguments.who,
    )
    server = start(App(cases), arguments.port)
    print(f"{len(cases.results)} {'case' if len(cases.results) == 1 else 'cases'}: open")
    print(server.address, flush=True)
    print("Only this machine can, and only with this address. Ctrl-C ends.", file=sys.stderr)
    if not arguments.no_browser:
        webbrowser.open(server.address)
    try:
        server.http.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.http.server_close()
    return 0
