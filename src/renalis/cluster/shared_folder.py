"""Whether all machines of a cluster see the same files."""

from __future__ import annotations

from pathlib import Path

from renalis.errors import OutputError

__all__ = ["require_seen"]


def require_seen(path: Path, else_: str = "") -> None:
    """Refuse to go on where a machine does not see what another one has written.

    Parameters
    ----------
    path : Path
        Was written elsewhere.
    else_ : str
        What else there is to do, the end of the sentence.

    Raises
    ------
    OutputError
        If it is not there.
    """
    if not path.is_file():
        raise OutputError(
            f"{path} was written on another machine of the cluster and is not seen here; choose an "
            f"output that all nodes share under the same path{else_}"
        )
