"""An Orthanc of one's own: Debian's, with its DICOMweb plug-in, on free ports of this machine."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

__all__ = ["Orthanc", "free_port", "running_orthanc"]

_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc.

    Attributes
    ----------
    http, dicom : int
        Its ports.
    """

    http: int
    dicom: int

    @property
    def web(self) -> str:
        """Root of its DICOMweb server."""
        return f"http://127.0.0.1:{self.http}/dicom-web"

    def get(self, path: str) -> Any:
        """What its own REST API answers."""
        answer = requests.get(f"http://127.0.0.1:{self.http}{path}", timeout=60)
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers["content-type"] else answer.content

    def post(self, path: str, body: Any) -> Any:
        """Tell its own REST API something; bytes as they are, all else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body)
        url = f"http://127.0.0.1:{self.http}{path}"
        answer = requests.post(url, data=data, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def keep(self, folder: Path) -> str:
        """Store the files of a folder, one series; its id."""
        for path in sorted(folder.iterdir()):
            stored = self.post("/instances", path.read_bytes())
        return str(stored["ParentSeries"])

    def objects(self, study_uid: str) -> dict[str, bytes]:
        """The files of a study that are no images, by modality."""
        (found,) = self.post("/tools/lookup", study_uid.encode())
        objects = {}
        for one in self.get(f"/studies/{found['ID']}/series"):
            modality = one["MainDicomTags"]["Modality"]
            if modality != "CT":
                (instance,) = one["Instances"]
                objects[modality] = self.get(f"/instances/{instance}/file")
        return objects


@contextmanager
def running_orthanc(
    folder: Path, modalities: dict[str, tuple[str, int]] | None = None, **more: object
) -> Iterator[Orthanc]:
    """Start one, and end it afterwards.

    Parameters
    ----------
    folder : Path
        For its database.
    modalities : dict, optional
        AE title and port of other nodes by the names that Orthanc gives them.
    **more
        Further fields of its configuration.
    """
    if _PROGRAM is None or not _PLUGIN.exists():
        pytest.skip("no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(parents=True)
    one = Orthanc(free_port(), free_port())
    content = {
        "Name": "tests",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": one.http,
        "DicomPort": one.dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "StorageCompression": False,
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {
            name: [title, "127.0.0.1", port] for name, (title, port) in (modalities or {}).items()
        },
        **more,
    }
    (folder / "orthanc.json").write_text(json.dumps(content))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [_PROGRAM, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder
        )
    try:
        _wait_for(one, process)
        yield one
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(one: Orthanc, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "Orthanc ended at once"
        try:
            one.get("/system")
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("Orthanc does not answer")
