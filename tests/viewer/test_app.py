"""The viewer's addresses: what is shown, what is saved, what is refused."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.view_case import result

from renalis.conventions import Label
from renalis.corrections import find_results, versions
from renalis.errors import InputError
from renalis.io import read_scan, write_labels
from renalis.io.read_labels import read_label_map
from renalis.report.style import STYLES
from renalis.viewer import App, Cases, Request, Response
from renalis.viewer.surfaces import surfaces_of
from renalis.volume import Kind, Volume


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case; tests write corrections of cases of their own."""
    folder = tmp_path_factory.mktemp("viewed")
    result(folder, order="LPS")
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> App:
    return App(Cases.of(folder / "out"))


def get(app: App, path: str) -> Response:
    return app.respond(Request("GET", path))


def body(response: Response) -> bytes:
    content = b"".join(response.body)
    assert int(response.headers["Content-Length"]) == len(content)
    return content


def told(response: Response) -> Any:
    return json.loads(body(response))


def test_the_page_and_its_parts_are_all_in_the_package(app: App) -> None:
    page = body(get(app, "")).decode()
    for name in ("style.css", "main.js", "icon.svg", "vendor/niivue.umd.js"):
        assert f"static/{name}" in page
        assert get(app, f"static/{name}").status == 200
    assert "://" not in page.replace("http://www.w3.org/2000/svg", ""), "nothing from elsewhere"


def test_the_page_names_and_colors_labels_as_the_report_does(app: App) -> None:
    names = re.search(r"NAMES = (\[.*\]);", body(get(app, "static/labels.js")).decode())
    assert names is not None
    assert json.loads(names[1])[1:] == [style.name for style in STYLES.values()]
    colors = re.search(r"const COLORS = (\[.*\]);", body(get(app, "static/scene.js")).decode())
    assert colors is not None
    assert json.loads(colors[1])[1:] == [[*style.rgb] for style in STYLES.values()]
    sheet = body(get(app, "static/style.css")).decode()
    assert all(f"--{style.name}: {style.color};" in sheet for style in STYLES.values())


@pytest.mark.parametrize(
    "path",
    [
        "static/../app.py", "static/vendor/../../app.py", "static//etc/passwd", "static/vendor",
        "static/vendor/LICENSE/x", "api/cases/nobody", "api/cases/../patient",
        "api/cases/patient/x", "api/cases/patient/labels/0001", "api/cases/patient/labels/..",
        "api", "etc/passwd", "/",
        "api/cases/patient/measurements/../../provenance",
    ],
)  # fmt: skip
def test_what_is_not_there_is_not_found(app: App, path: str) -> None:
    response = get(app, path)
    assert response.status in (404, 409)
    assert told(response)["problem"]


def test_cases_are_listed_with_what_is_in_them(app: App) -> None:
    (case,) = told(get(app, "api/cases"))
    assert (case["name"], case["kidneys"], case["tumors"], case["cysts"]) == ("patient", 2, 1, 1)
    assert case["corrections"] == 0
    assert case["largest_mm"] == pytest.approx(32, abs=3)


def test_a_case_tells_grid_and_versions(app: App) -> None:
    about = told(get(app, "api/cases/patient"))
    assert about["shape"] == [120, 88, 56]
    assert about["spacing_mm"] == pytest.approx([2.2, 2.0, 2.5])
    assert [version["name"] for version in about["versions"]] == ["model"]
    assert about["others"] == []


def test_scan_and_labels_agree_voxel_for_voxel(app: App, folder: Path) -> None:
    scan = read_scan(folder / "scans" / "patient.nii.gz").volume.reoriented("RAS")
    labels = read_label_map(folder / "out" / "patient" / "segmentation.nii.gz").reoriented("RAS")
    voxels = np.frombuffer(body(get(app, "api/cases/patient/scan"))[352:], "<i2")
    answer = get(app, "api/cases/patient/labels/model")
    assert answer.headers["Content-Encoding"] == "gzip"
    marks = np.frombuffer(gzip.decompress(body(answer)), np.uint8)
    assert np.array_equal(voxels, scan.array.ravel(order="F"))
    assert np.array_equal(marks, labels.array.ravel(order="F"))


def test_measurements_of_a_version_are_its_file(app: App, folder: Path) -> None:
    stored = json.loads((folder / "out" / "patient" / "measurements.json").read_text())
    assert told(get(app, "api/cases/patient/measurements/model")) == stored


def test_surfaces_enclose_what_is_labeled(app: App, folder: Path) -> None:
    labels = read_label_map(folder / "out" / "patient" / "segmentation.nii.gz")
    meshes = surfaces_of(labels)
    assert [mesh.label for mesh in meshes] == [Label.TUMOR, Label.CYST, Label.KIDNEY, Label.KIDNEY]
    tumor = labels.world(np.argwhere(labels.array == Label.TUMOR))
    assert np.allclose(meshes[0].vertices.mean(axis=0), tumor.mean(axis=0), atol=2)
    packed = body(get(app, "api/cases/patient/surfaces/model"))
    size = 4 + sum(12 + 12 * len(mesh.vertices) + 12 * len(mesh.faces) for mesh in meshes)
    assert len(packed) == size


def own_app(tmp_path: Path, **options: Any) -> tuple[App, Volume]:
    _, labels = result(tmp_path, order="LPS")
    return App(Cases.of(tmp_path / "out", **options)), labels


def correction(labels: Volume, value: int = 1) -> bytes:
    """Everything labeled becomes one label, as the page would send it."""
    turned = labels.reoriented("RAS").array
    return gzip.compress(np.where(turned > 0, value, 0).astype(np.uint8).tobytes(order="F"))


def test_a_correction_becomes_the_newest_version(tmp_path: Path) -> None:
    app, labels = own_app(tmp_path, who="Reader")
    grid = told(get(app, "api/cases/patient"))["grid"]
    query = {"grid": grid, "based_on": "model", "note": " no\nlesions "}
    answer = app.respond(
        Request("POST", "api/cases/patient/corrections", query, correction(labels))
    )
    assert answer.status == 201
    made = told(answer)
    assert (made["name"], made["who"], made["note"]) == ("0001", "Reader", "no lesions")
    (case,) = find_results(tmp_path / "out")
    stored = read_label_map(versions(case)[-1].folder / "segmentation.nii.gz")
    assert np.array_equal(stored.array, (labels.array > 0).astype(np.uint8))
    assert told(get(app, "api/cases/patient/measurements/0001"))["lesions"] == []
    assert told(get(app, "api/cases"))[0]["corrections"] == 1
    dice = told(get(app, "api/cases/patient/agreement/0001/model"))
    assert dice == {"kidney": 1.0, "tumor": 0.0, "cyst": 0.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grid": "0" * 16}, "another grid"),
        ({"grid": None}, "another grid"),
        ({"based_on": "0009"}, "no version"),
        ({"based_on": "../.."}, "no version"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, str | None], said: str
) -> None:
    app, labels = own_app(tmp_path)
    query = {"grid": told(get(app, "api/cases/patient"))["grid"], "based_on": "model"}
    sent = {name: value for name, value in (query | change).items() if value is not None}
    request = Request("POST", "api/cases/patient/corrections", sent, correction(labels))
    answer = app.respond(request)
    assert answer.status == 409
    assert said in told(answer)["problem"]
    assert not (tmp_path / "out" / "patient" / "corrections").exists()


def test_a_scan_that_is_gone_is_said_in_one_sentence(tmp_path: Path) -> None:
    app, _ = own_app(tmp_path)
    (tmp_path / "scans" / "patient.nii.gz").unlink()
    answer = get(app, "api/cases/patient")
    assert answer.status == 409
    assert "--scans" in told(answer)["problem"]
    assert get(app, "api/cases").status == 200


def test_a_reference_and_another_run_are_compared_on_the_scans_grid(tmp_path: Path) -> None:
    _, labels = result(tmp_path / "one", order="LPS")
    result(tmp_path / "two", order="LPS")
    scan = read_scan(tmp_path / "one" / "scans" / "patient.nii.gz")
    kidney = labels.like((labels.array == 1).astype(np.uint8), Kind.LABELS)
    reference = write_labels(tmp_path / "reference" / "patient_seg.nii.gz", kidney, scan)
    cases = Cases.of(
        tmp_path / "one" / "out", reference=reference, compare=tmp_path / "two" / "out"
    )
    app = App(cases)
    assert told(get(app, "api/cases/patient"))["others"] == ["reference", "compared"]
    same = told(get(app, "api/cases/patient/agreement/model/compared"))
    assert same == {"kidney": 1.0, "tumor": 1.0, "cyst": 1.0}
    dice = told(get(app, "api/cases/patient/agreement/model/reference"))
    assert 0.9 < dice["kidney"] < 1
    assert dice["tumor"] == 0


def test_a_reference_on_another_grid_is_refused(tmp_path: Path) -> None:
    app, labels = own_app(tmp_path)
    scan = read_scan(tmp_path / "scans" / "patient.nii.gz")
    smaller = scan.volume.cropped((slice(0, 50), slice(None), slice(None)))
    from renalis.io import write_volume

    part = Volume(labels.array[:50], smaller.affine, Kind.LABELS)
    reference = write_volume(tmp_path / "reference.nii.gz", part)
    app = App(Cases.of(tmp_path / "out", reference=reference))
    answer = get(app, "api/cases/patient/labels/reference")
    assert answer.status == 409
    assert told(answer)["problem"]


def test_places_that_do_not_exist_are_named_at_the_start(tmp_path: Path) -> None:
    result(tmp_path)
    with pytest.raises(InputError, match="nowhere does not exist"):
        Cases.of(tmp_path / "out", scans=[tmp_path / "nowhere"])
