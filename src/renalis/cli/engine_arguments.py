"""What every verb takes that can share its work between the nodes of a Ray cluster."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from renalis.errors import UsageError

if TYPE_CHECKING:
    from renalis.cluster.connection import RayPlace

__all__ = ["add_engine", "add_threads", "check_engine", "cluster_place"]


def add_engine(parser: argparse.ArgumentParser, what: str) -> None:
    """Who does the work.

    Parameters
    ----------
    parser : ArgumentParser
        Of the verb.
    what : str
        What is shared out, for the help.
    """
    add = parser.add_argument
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help=f"{what}: processes on this machine (default), or a Ray cluster whose nodes see the "
        "same input and output",
    )
    add(
        "--ray-address",
        metavar="ADDRESS",
        help="of the Ray cluster, for example auto or ray-head:6379 (default: one on this machine, "
        "for as long as the command runs)",
    )


def check_engine(arguments: argparse.Namespace) -> None:
    """Refuse an address without a cluster.

    Raises
    ------
    UsageError
        If it is one.
    """
    if arguments.ray_address is not None and arguments.engine != "ray":
        raise UsageError("--ray-address belongs to --engine ray")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """How many CPU threads a training has."""
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads of each training (default: all cores; with --engine ray 1)",
    )


def cluster_place(arguments: argparse.Namespace, workers: int = 0) -> RayPlace | None:
    """Where on a cluster the work is done; None: on this machine.

    Parameters
    ----------
    arguments : Namespace
    workers : int
        Further processes that each process has.

    Raises
    ------
    UsageError
        If options do not fit each other.
    """
    check_engine(arguments)
    if arguments.threads is not None and arguments.threads < 1:
        raise UsageError("--threads must be at least 1")
    if arguments.engine != "ray":
        return None
    from renalis.cluster.connection import RayPlace

    arguments.threads = arguments.threads or 1
    cores = arguments.threads + workers
    return RayPlace(arguments.ray_address, cores, arguments.device)
