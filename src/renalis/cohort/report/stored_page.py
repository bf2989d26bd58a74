"""``cohort.html`` of results in a store: made here from their small files, and put beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from renalis.cohort.report.case_facts import MOST_BYTES
from renalis.cohort.report.write import write_cohort_page
from renalis.pipeline.folder import MEASUREMENTS, PREVIEW, PROVENANCE
from renalis.pipeline.table import COHORT_PAGE, MANIFEST
from renalis.remote.attempts import attempted
from renalis.remote.locations import Location
from renalis.remote.results import put_file, read_bytes

__all__ = ["write_stored_page"]

_AT_ONCE = 200
"""Files that are read together, at the same time where the store's driver can."""


def write_stored_page(output: Location, folder: Path, total: int | None = None) -> str:
    """Write the page of a cohort in a store.

    Parameters
    ----------
    output : Location
        The cohort's folder.
    folder : Path
        An empty folder of this machine. Gets a folder for each case, in which only what the page
        is made from has its content; of pictures those that are shown.
    total : int, optional
        How many scans there are in all, where a run knows it.

    Returns
    -------
    str
        The page's URL.

    Raises
    ------
    InputError
        If there is no case.
    OutputError, UnreachableError
        If the store does not let itself be read or written.
    """
    sizes = _files(output)
    for name in sizes:
        with suppress(OSError):  # a name that is also another's folder
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
    wanted = [
        name
        for name, size in sizes.items()
        if name == MANIFEST
        or (name.endswith((f"/{PROVENANCE}", f"/{MEASUREMENTS}")) and size <= MOST_BYTES)
    ]
    for first in range(0, len(wanted), _AT_ONCE):
        _fetch(output, folder, wanted[first : first + _AT_ONCE])

    def preview(case: str) -> Path:
        name = f"{case}/{PREVIEW}"
        if sizes.get(name, MOST_BYTES + 1) <= MOST_BYTES:
            (folder / name).write_bytes(read_bytes(output / name) or b"")
        return folder / name

    page = write_cohort_page(folder, total, preview)
    put_file(output, COHORT_PAGE, page.read_bytes())
    return (output / COHORT_PAGE).url


def _files(output: Location) -> dict[str, int]:
    """Sizes of the files of the output and of its cases' folders, by name below it."""
    store, above = output.filesystem, output.path.rstrip("/") + "/"
    found: Mapping[str, Mapping[str, object]] = attempted(
        lambda: store.find(output.path, maxdepth=2, detail=True), output.url
    )
    sizes = {}
    for path, about in found.items():
        name = str(path).removeprefix(above)
        parts = name.split("/")
        # Names of a store may lead anywhere.
        if len(parts) <= 2 and not any(part.startswith(".") or not part for part in parts):
            with suppress(TypeError, ValueError):
                sizes[name] = int(str(about.get("size")))
    return sizes


def _fetch(output: Location, folder: Path, names: Sequence[str]) -> None:
    store = output.filesystem
    paths = {(output / name).path: name for name in names}
    found: Mapping[str, bytes] = attempted(lambda: store.cat([*paths], on_error="omit"), output.url)
    for path, content in found.items():
        (folder / paths[path]).write_bytes(content)
