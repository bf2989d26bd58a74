"""Packages of strangers, installed into a folder as pip does, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["install"]


def install(
    site: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, Mapping[str, str]] | str,
) -> None:
    """Write modules, and what an installer notes about their package.

    Parameters
    ----------
    site : Path
        A folder on ``sys.path``.
    name, version : str
        Of the package.
    modules : mapping of str to str
        Name to code.
    entry_points : mapping or str
        By group and name; or the text of the file.
    """
    for module, code in modules.items():
        (site / f"{module}.py").write_text(code, "utf-8")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if not isinstance(entry_points, str):
        entry_points = "\n\n".join(
            "\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in points.items())])
            for group, points in entry_points.items()
        )
    (info / "entry_points.txt").write_text(entry_points + "\n")
