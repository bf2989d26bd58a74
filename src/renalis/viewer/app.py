"""The viewer's addresses, as functions of a request: what a server of any kind can mount.

All below the address of the page, which ends in a slash:

=======================================  =======================================================
``GET``  (nothing)                       the page
``GET``  static/NAME                     its parts, all from this package
``GET``  api/cases                       names of the cases, what is labeled in each, corrections
``GET``  api/cases/CASE                  grid, versions, what it can be compared with
``GET``  api/cases/CASE/scan             the scan as unpacked NIfTI, axes right, front, head
``GET``  api/cases/CASE/labels/V         version V: a byte per voxel in the same order, gzip
``GET``  api/cases/CASE/surfaces/V       surfaces of version V (`renalis.viewer.surfaces`)
``GET``  api/cases/CASE/measurements/V   ``measurements.json`` of version V
``GET``  api/cases/CASE/agreement/V/W    Dice of version V with W
``POST`` api/cases/CASE/corrections      gzip of labels, as above: becomes a new version. Query:
                                         ``grid`` (from api/cases/CASE), ``based_on``, ``who``,
                                         ``note``
=======================================  =======================================================

``V`` is ``model``, a correction's number, ``reference`` or ``compared``. Errors are JSON with one
sentence: ``{"problem": "..."}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np

from renalis.conventions import REGIONS
from renalis.corrections import Result, save, versions
from renalis.corrections.history import Version, measurements_of, version_named
from renalis.errors import InputError, RenalisError
from renalis.viewer.cases import Cases
from renalis.viewer.files import static_file
from renalis.viewer.grids import grid_code, labels_from_page, nifti_chunks, packed_labels
from renalis.viewer.surfaces import packed_surfaces
from renalis.volume import Volume

__all__ = ["MOST_BYTES", "App", "Request", "Response", "agreement"]

MOST_BYTES = 64 << 20
"""Most bytes that a request may bring: label maps pack to some kilobytes."""
_MOST_TEXT = 2000


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked.

    Attributes
    ----------
    method : str
        ``GET`` or ``POST``.
    path : str
        Below the page's address, percent-decoded, without a slash in front.
    query : mapping of str to str
        Decoded.
    body : bytes
        At most `MOST_BYTES`, which the server sees to.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, eq=False)
class Response:
    """What is answered.

    Attributes
    ----------
    status : int
        HTTP status.
    headers : mapping of str to str
        With Content-Type and Content-Length.
    body : iterable of bytes
        In parts.
    """

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]


class _Missing(InputError):
    """There is nothing at an address."""


@dataclass(frozen=True, eq=False)
class App:
    """The viewer of some cases."""

    cases: Cases

    def respond(self, request: Request) -> Response:
        """Answer; what a user can act on becomes a sentence, what else is raised is a defect."""
        try:
            return self._routed(request)
        except _Missing as error:
            return _problem(404, str(error))
        except InputError as error:
            return _problem(409, str(error))
        except RenalisError as error:
            return _problem(500, str(error))

    def _routed(self, request: Request) -> Response:
        parts = request.path.split("/")
        match request.method, parts:
            case "GET", [""]:
                answer = _file("index.html")
            case "GET", ["static", *names]:
                answer = _file("/".join(names))
            case "GET", ["api", "cases"]:
                answer = _json([_listed(result) for result in self.cases.results])
            case "GET", ["api", "cases", name]:
                answer = _json(self._described(self._case(name)))
            case "GET", ["api", "cases", name, "scan"]:
                answer = self._scan(self._case(name))
            case "GET", ["api", "cases", name, what, version] if what in _VERSIONED:
                answer = _VERSIONED[what](self.cases, self._case(name), version)
            case "GET", ["api", "cases", name, "agreement", one, other]:
                answer = self._agreement(self._case(name), one, other)
            case "POST", ["api", "cases", name, "corrections"]:
                answer = self._save(self._case(name), request)
            case method, _:
                raise _Missing(f"there is nothing at {request.path[:100]!r} for {method}")
        return answer

    def _case(self, name: str) -> Result:
        try:
            return self.cases.named(name)
        except InputError as error:
            raise _Missing(str(error)) from error

    def _described(self, result: Result) -> dict[str, Any]:
        """What the page needs before voxels arrive; it reads the scan, which it needs anyway."""
        scan = self.cases.scan(result)
        grid = scan.volume
        return {
            "name": result.name,
            "grid": grid_code(grid),
            "shape": list(grid.reoriented("RAS").shape),
            "spacing_mm": list(grid.reoriented("RAS").spacing),
            "versions": [_version(version) for version in versions(result)],
            "others": list(self.cases.others(result)),
            "who": self.cases.who,
            "model": result.made.get("model"),
            "notes": [str(note) for note in result.made.get("notes") or ()],
        }

    def _scan(self, result: Result) -> Response:
        size, chunks = nifti_chunks(self.cases.scan(result).volume)
        return Response(200, _headers("application/octet-stream", size), chunks)

    def _agreement(self, result: Result, one: str, other: str) -> Response:
        found = agreement(self.cases.labels(result, one), self.cases.labels(result, other))
        return _json(found)

    def _save(self, result: Result, request: Request) -> Response:
        scan = self.cases.scan(result)
        if request.query.get("grid") != grid_code(scan.volume):
            raise InputError(
                "the correction was made on another grid than this scan's; reload the page"
            )
        labels = labels_from_page(request.body, scan.volume)
        words = {
            name: " ".join(request.query.get(name, "").split())[:_MOST_TEXT]
            for name in ("who", "note")
        }
        based_on = request.query.get("based_on", "model")
        version_named(result, based_on)
        version = save(
            result,
            scan,
            labels,
            based_on=based_on,
            who=words["who"] or self.cases.who,
            note=words["note"],
        )
        return _json(_version(version), 201)


def _file(name: str) -> Response:
    try:
        return _bytes(*static_file(name))
    except InputError as error:
        raise _Missing(str(error)) from error


def _labels(cases: Cases, result: Result, version: str) -> Response:
    packed = packed_labels(cases.labels(result, version))
    return _bytes(packed, "application/octet-stream", {"Content-Encoding": "gzip"})


def _surfaces(cases: Cases, result: Result, version: str) -> Response:
    return _bytes(packed_surfaces(cases.labels(result, version)), "application/octet-stream")


def _measurements(_: Cases, result: Result, version: str) -> Response:
    content = measurements_of(version_named(result, version))
    if content is None:
        raise _Missing(
            f"{result.name} is not measured yet; the command that segmented it makes what lacks"
        )
    return _json(content)


_VERSIONED: dict[str, Callable[[Cases, Result, str], Response]] = {
    "labels": _labels,
    "surfaces": _surfaces,
    "measurements": _measurements,
}


def _listed(result: Result) -> dict[str, Any]:
    """A case in the list of cases."""
    all_versions = versions(result)
    content = measurements_of(all_versions[-1]) or {}
    lesions = content.get("lesions") or ()
    return {
        "name": result.name,
        "address": quote(result.name, safe=""),
        "kidneys": len(content.get("kidneys") or ()),
        "tumors": sum(one.get("kind") == "tumor" for one in lesions),
        "cysts": sum(one.get("kind") == "cyst" for one in lesions),
        "largest_mm": max((one.get("diameter_mm") or 0 for one in lesions), default=None),
        "corrections": len(all_versions) - 1,
    }


def _version(version: Version) -> dict[str, Any]:
    return {"name": version.name, **version.record}


def _headers(kind: str, size: int) -> dict[str, str]:
    return {"Content-Type": kind, "Content-Length": str(size)}


def _bytes(content: bytes, kind: str, more: Mapping[str, str] | None = None) -> Response:
    return Response(200, _headers(kind, len(content)) | dict(more or {}), (content,))


def _json(content: Any, status: int = 200) -> Response:
    text = json.dumps(content, ensure_ascii=False).encode()
    return Response(status, _headers("application/json", len(text)), (text,))


def _problem(status: int, sentence: str) -> Response:
    return _json({"problem": sentence}, status)


_SHOWN = ("kidney", "tumor", "cyst")


def agreement(one: Volume, other: Volume) -> dict[str, float | None]:
    """Dice of the regions kidney (everything renal), tumor and cyst; None where neither has it."""
    counts = np.bincount(
        (one.array.astype(np.uint8) * 4 + other.array).ravel(order="K"), minlength=16
    ).reshape(4, 4)
    found: dict[str, float | None] = {}
    for name in _SHOWN:
        values = [int(label) for label in REGIONS[name]]
        both = counts[np.ix_(values, values)].sum()
        total = counts[values].sum() + counts[:, values].sum()
        found[name] = float(2 * both / total) if total else None
    return found
