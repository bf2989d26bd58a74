"""``docs/how-to/add-a-system.md`` does what it says: its files are installed, its commands run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.packages import install
from helpers.programs import run_program
from numpy.typing import NDArray

from renalis.cli import main
from renalis.errors import InputError, PluginWarning
from renalis.model import read_any_header
from renalis.systems.runs import open_run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-system.md"


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows, by the name that stands before each."""
    found = re.findall(r"`([\w.-]+)`:\n\n```\w+\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
    return dict(found)


def command(begins: str, places: dict[str, Path]) -> list[str]:
    """The words of the page's command that begins so, with places for those that it names."""
    line = next(x for x in PAGE.read_text("utf-8").splitlines() if x.startswith(begins))
    return [str(places.get(word, word)) for word in line.split()[1:]]


def install_page(files: dict[str, str], site: Path, version: str | None = None) -> None:
    """The package that the page's ``pyproject.toml`` describes."""
    project = tomllib.loads(files["pyproject.toml"])
    about = project["project"]
    modules = {name: files[f"{name}.py"] for name in project["tool"]["setuptools"]["py-modules"]}
    install(site, about["name"], version or about["version"], modules, about["entry-points"])


@pytest.fixture(scope="module")
def page() -> dict[str, str]:
    return files_of(PAGE)


@pytest.fixture(scope="module")
def site(page: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of installed packages with the page's in it."""
    folder = tmp_path_factory.mktemp("site")
    install_page(page, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("dilated_kidney", None)


@pytest.fixture(scope="module")
def run(
    page: dict[str, str], site: Path, kits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Trained with the page's recipe and command."""
    recipe = tmp_path_factory.mktemp("recipe") / "dilated.yaml"
    recipe.write_text(page["dilated.yaml"], "utf-8")
    folder = tmp_path_factory.mktemp("runs") / "RUN"
    words = command("renalis train", {"dilated.yaml": recipe, "KITS19": kits, "RUN": folder})
    assert main([*words, "--device", "cpu"]) == 0
    return folder


@pytest.fixture(scope="module")
def packed(run: Path) -> Path:
    assert main(command("renalis model pack", {"RUN": run})) == 0
    return run / "dilated.safetensors"


def segmented(kits: Path, out: Path, model: Path) -> NDArray[np.uint8]:
    scan = kits / "case_00001" / "imaging.nii.gz"
    words = ["segment", str(scan), "-o", str(out), "--no-report", "--model", str(model)]
    assert main([*words, "--device", "cpu"]) == 0
    (found,) = out.glob("*/segmentation.nii.gz")
    return np.asarray(nibabel.load(found).dataobj)


def without(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process that does not have the package."""
    path = os.pathsep.join(one for one in sys.path if one and one != str(site))
    return run_program("-m", "renalis", *words, env={**os.environ, "PYTHONPATH": path})


def test_a_run_and_its_file_of_a_strangers_network_give_the_same_labels(
    run: Path, packed: Path, kits: Path, tmp_path: Path
) -> None:
    one = segmented(kits, tmp_path / "run", run)
    two = segmented(kits, tmp_path / "file", packed)
    truth = np.asarray(nibabel.load(kits / "case_00001" / "segmentation.nii.gz").dataobj) > 0
    assert np.array_equal(one, two)
    (provenance,) = (tmp_path / "file").glob("*/provenance.json")
    assert json.loads(provenance.read_bytes())["packages"] == {"dilated-kidney": "1.0"}
    assert 2 * (truth & (one > 0)).sum() / (truth.sum() + (one > 0).sum()) > 0.5


def test_files_name_the_package_that_they_need_and_no_module(run: Path, packed: Path) -> None:
    offered = [
        ("network", "dilated_2d"),
        ("sampler", "sparse_slices"),
        ("loss term", "log_dice"),
        ("rule", "few_slices"),
    ]
    needs = [
        {"kind": kind, "name": name, "package": "dilated-kidney", "version": "1.0"}
        for kind, name in offered
    ]
    assert json.loads((run / "recipe.json").read_bytes())["needs"] == needs
    assert [one.model_dump() for one in read_any_header(packed).needs] == needs
    assert b"dilated_kidney" not in packed.read_bytes()


def test_without_the_package_one_sentence_says_what_is_missing(
    site: Path, packed: Path, kits: Path, tmp_path: Path
) -> None:
    scan = str(kits / "case_00001" / "imaging.nii.gz")
    done = without(site, "segment", scan, "-o", str(tmp_path / "out"), "--model", str(packed))
    shown = re.search(r"^renalis: RUN/dilated.safetensors (.*)$", PAGE.read_text("utf-8"), re.M)
    assert shown is not None
    assert done.stderr == f"renalis: {packed} {shown[1]}\n"
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()


def test_what_a_file_needs_is_told_without_the_package(site: Path, packed: Path) -> None:
    done = without(site, "model", "info", str(packed))
    assert "needs      dilated-kidney 1.0 (network dilated_2d)" in done.stdout
    assert done.returncode == 0


def test_another_version_is_a_warning(
    page: dict[str, str], site: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_page(page, tmp_path, "1.1")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if p != str(site))])
    with pytest.warns(PluginWarning, match=r"dilated-kidney 1.0; 1.1 is installed") as said:
        open_run(packed)
    assert len(said) == 1


def test_another_package_of_that_name_is_refused(
    page: dict[str, str], site: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**page, "pyproject.toml": page["pyproject.toml"].replace("dilated-kidney", "other")}
    install_page(other, tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(p for p in sys.path if p != str(site))])
    with pytest.raises(InputError, match=r"here the package other 1\.0 offers that name"):
        open_run(packed)


def test_the_page_says_what_doctor_says(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--quick"])
    said = "dilated-kidney 1.0, network dilated_2d: usable"
    assert said in capsys.readouterr().out
    assert said in PAGE.read_text("utf-8")
