"""Packages of strangers: broken ones, ones that want one name, and when they are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packages import install

import renalis
from renalis.cli import main
from renalis.errors import InputError, PluginWarning
from renalis.networks import build, registered, with_weights
from renalis.plugins import NETWORKS, REGISTRIES, Kind, Need, offers, require
from renalis.recipes import SamplerOptions, load_system
from renalis.sampling import Sample
from renalis.systems.recipe_check import check_system
from renalis.systems.samplers import _Checked
from renalis.systems.training_plans import loss_terms

CODE = """
from typing import Literal
from renalis.networks import register
from renalis.recipes import NetworkOptions
from torch import nn

class Options(NetworkOptions):
    name: Literal["{name}"]

@register("{name}", options=Options)
class Point(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.point = nn.Conv3d(in_channels, out_channels, 1)

    def forward(self, image):
        return self.point(image)
"""


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    others = str(tmp_path_factory.getbasetemp())  # packages of other tests
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not p.startswith(others)])
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    known = {kind: set(registry.known()) for kind, registry in REGISTRIES.items()}
    yield folder
    for kind, registry in REGISTRIES.items():
        for name in set(registry.known()) - known[kind]:
            del registry._known[name]
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def offer(site: Path, package: str, name: str, code: str = CODE, module: str = "") -> None:
    """Install a package that offers a network."""
    module = module or package.replace("-", "_")
    points = {"renalis.networks": {name: f"{module}:Point"}}
    install(site, package, "1.0", {module: code.replace("{name}", name)}, points)


def recipe(name: str) -> object:
    change = f"network={{name: {name}, in_channels: 1, out_channels: 3}}"
    return load_system("unet3d-plain", (change,)).network


def test_a_network_is_found_by_its_entry_point_alone(site: Path) -> None:
    offer(site, "points-one", "point_one")
    assert "points_one" not in sys.modules
    found = recipe("point_one")
    assert found.config() == {"name": "point_one", "in_channels": 1, "out_channels": 3}  # type: ignore[attr-defined]
    assert type(build(found.config())).__module__ == "points_one"  # type: ignore[attr-defined]


def test_fields_of_a_package_are_checked_as_ours(site: Path) -> None:
    offer(site, "points-two", "point_two")
    with pytest.raises(InputError, match=r"network\.out_channels: input should be greater than 0"):
        load_system("unet3d-plain", ("network={name: point_two, in_channels: 1, out_channels: 0}",))
    with pytest.raises(InputError, match=r"there is no field 'network\.w'"):
        load_system(
            "unet3d-plain",
            ("network={name: point_two, in_channels: 1, out_channels: 3, w: 1}",),
        )


def test_an_unknown_network_lists_ours_and_those_of_packages(site: Path) -> None:
    offer(site, "points-three", "point_three")
    with pytest.raises(InputError, match=r"no network 'vnet'; known are .*unet3d.*point_three"):
        recipe("vnet")
    assert "points_three" not in sys.modules


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such"),
        ("raise SystemExit(7)", "SystemExit: 7"),
        ("this is no python", "SyntaxError"),
        ("Point = 1", "does not register it"),
        (CODE.replace("{name}", "unet3d"), "already is a network 'unet3d'"),
    ],
)
def test_a_broken_package_is_named_in_one_sentence(
    site: Path, tmp_path: Path, code: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(site, "broken-net", "broken", code)
    text = "network={name: broken, in_channels: 1, out_channels: 3}"
    assert main(["recipe", "show", "unet3d-plain", "--set", text]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("renalis: the package broken-net 1.0")
    assert said in errors
    assert errors.count("\n") == 1


def test_ours_are_used_whatever_is_broken_beside_them(site: Path) -> None:
    offer(site, "broken-net", "broken", "raise RuntimeError('at import')")
    install(site, "torn-net", "1.0", {}, "[renalis.networks]\nno equals sign\n")
    with pytest.warns(PluginWarning, match="entry points of the package torn-net cannot be read"):
        load_system("unet3d-plain")
    assert build({"name": "unet", **registered()["unet"].tiny})
    assert renalis.load_model().network("coarse")


def test_two_packages_of_one_name_are_both_named(site: Path) -> None:
    offer(site, "first-net", "twice")
    offer(site, "second-net", "twice")
    with pytest.raises(InputError, match="uninstall one of the two") as refused:
        recipe("twice")
    assert "first-net 1.0" in str(refused.value)
    assert "second-net 1.0" in str(refused.value)
    assert "first_net" not in sys.modules


def test_a_package_cannot_take_a_name_of_ours(site: Path) -> None:
    offer(site, "greedy-net", "unet3d")
    with pytest.warns(PluginWarning, match=r"greedy-net 1\.0 offers a network 'unet3d'.* own"):
        found = load_system("unet3d-plain").network
    assert type(found).__module__ == "renalis.recipes.network_fields"
    assert type(build(found.config())).__module__ == "renalis.networks.unet3d"
    assert "greedy_net" not in sys.modules


def test_doctor_lists_usable_and_broken_packages(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(site, "fine-net", "fine")
    offer(site, "broken-net", "broken", "raise RuntimeError('at import')")
    offer(site, "greedy-net", "unet3d")
    assert main(["doctor", "--quick"]) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("plug-in")]
    assert sorted(line.split(":")[0] for line in lines) == [
        "plug-in     broken-net 1.0, network broken",
        "plug-in     fine-net 1.0, network fine",
        "plug-in     greedy-net 1.0, network unet3d",
    ]
    said = {line.split()[1]: line.split(": ", 1)[1] for line in lines}
    assert said["fine-net"] == "usable"
    assert "cannot be imported (RuntimeError: at import)" in said["broken-net"]
    assert "the name of one of renalis's own" in said["greedy-net"]


def test_a_module_that_a_file_names_is_never_imported(site: Path) -> None:
    (site / "bait.py").write_text("raise AssertionError('imported')")
    need = Need(kind="network", name="bait", package="bait", version="1.0")
    with pytest.raises(InputError, match=r"of the package bait 1\.0, which is not installed"):
        require([need], Path("model.safetensors"))
    assert "bait" not in sys.modules


def test_a_version_that_lacks_the_name_is_told(site: Path) -> None:
    offer(site, "late-net", "late")
    need = Need(kind="network", name="early", package="late-net", version="0.9")
    with pytest.raises(InputError, match=r"late-net 0\.9; late-net 1\.0, which is installed, does"):
        require([need], Path("model.safetensors"))


def test_a_network_of_a_program_needs_that_program(site: Path) -> None:
    need = Need(kind="network", name="of_a_notebook")
    with pytest.raises(InputError, match="registered by a program and is in no installed package"):
        require([need], Path("RUN"))
    exec(CODE.replace("{name}", "of_a_notebook"), {"__name__": "__main__"})
    assert NETWORKS.need("of_a_notebook") == need
    require([need], Path("RUN"))


def test_help_and_info_import_neither_torch_nor_packages(site: Path) -> None:
    offer(site, "fine-net", "fine")
    code = """
import sys
from renalis.cli import main
main(["--help"]), main(["model", "info"]), main(["recipe", "list"])
sys.exit(", ".join({"torch", "fine_net"} & set(sys.modules)))
"""
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stderr.strip() == ""


TERM = """
from typing import Literal
from renalis.recipes import TermOptions
from renalis.training.losses import register_term

class Options(TermOptions):
    term: Literal["{name}"]

@register_term("{name}", options=Options)
class Point:
    def __call__(self, logits, target, weights=None):
        return {value}
"""


def term(site: Path, value: str) -> None:
    """Install a package that offers the loss term ``of_others``."""
    code = TERM.replace("{name}", "of_others").replace("{value}", value)
    install(
        site,
        "term-of-others",
        "1.0",
        {"term_of_others": code},
        {"renalis.losses": {"of_others": "term_of_others"}},
    )


LOSS = "loss=[{term: ce, weight: 1.0}, {term: of_others, weight: 0.5, output: seg}]"


def test_a_term_of_a_package_is_tried_before_training(site: Path) -> None:
    term(site, "logits.square().mean()")
    system = load_system("unet3d-plain", (LOSS,), tiny=True)
    check_system(system)
    named = loss_terms(system.loss)
    assert [one.name for one in named] == ["ce", "of_others"]
    assert named[1].term(torch.full((1, 2, 3), 2.0), torch.zeros(1, 3)) == 4


@pytest.mark.parametrize("value", ["logits.square()", "0.0", "logits.detach().sum()", "logits[7]"])
def test_a_term_that_gives_no_number_to_learn_from_is_refused(site: Path, value: str) -> None:
    term(site, value)
    with pytest.raises(InputError, match=r"loss\.1 \(of_others\) cannot be computed"):
        check_system(load_system("unet3d-plain", (LOSS,), tiny=True))


NETWORK = """
import torch
from typing import Literal
from renalis.networks import register
from renalis.recipes import NetworkOptions
from torch import nn

class Options(NetworkOptions):
    name: Literal["{name}"]

@register("{name}", options=Options)
class Point(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.point = nn.Conv3d(in_channels, out_channels, 1)
        self.half = torch.full((1,), 0.5)
        {made}

    def forward(self, image):
        return {value}
"""


@pytest.mark.parametrize(
    ("made", "value", "said"),
    [
        ("pass", "(self.point(image),)", "the network gives a tuple"),
        ("pass", "{'logits': self.point(image)}", "gives no channels of seg"),
        ("pass", "self.point(image)[:, :2]", "out_channels is 3, but .* gives 2 channels"),
        ("pass", "self.pint(image)", "no attribute 'pint'"),
        ("self.point.double()", "self.point(image)", r"point\.weight is torch\.float64"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_before(
    site: Path, made: str, value: str, said: str
) -> None:
    code = NETWORK.replace("{made}", made).replace("{value}", value)
    offer(site, "odd-net", "odd", code)
    system = load_system(
        "unet3d-plain", ("network={name: odd, in_channels: 1, out_channels: 3}",), tiny=False
    )
    with pytest.raises(InputError, match=said):
        check_system(system)


def test_constants_of_a_packed_network_have_their_values(site: Path) -> None:
    code = NETWORK.replace("{made}", "pass").replace("{value}", "self.point(image) * self.half")
    offer(site, "constant-net", "constant", code)
    config = {"name": "constant", "in_channels": 1, "out_channels": 2}
    network = build(config)
    image = torch.ones(1, 1, 2, 2, 2)
    opened = with_weights(config, dict(network.state_dict()))
    assert torch.equal(opened(image), network(image))


class Lengths:
    """A sampler whose epochs differ, and whose samples are of one size."""

    def order(self, rng: np.random.Generator) -> list[int]:
        return list(range(int(rng.integers(5, 500))))

    def take(self, number: int, rng: np.random.Generator) -> Sample:
        return Sample({"image": np.zeros((1, 8, 9), np.float32)}, {})

    def negative(self) -> np.ndarray:
        return np.zeros(500, bool)


def test_a_sampler_is_held_to_its_length_and_size() -> None:
    options = SamplerOptions(kind="of_others", grid="slices", patch=(8, 8))
    sampler = _Checked(Lengths(), options, 7)
    with pytest.raises(InputError, match="and 7 in another"):
        sampler.order(np.random.default_rng(1))
    with pytest.raises(
        InputError, match=r"gives samples of \(8, 9\), where sampler\.patch is \(8, 8"
    ):
        sampler.take(0, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("group", "name", "kind"),
    [
        ("renalis.losses", "dice", "loss term"),
        ("renalis.samplers", "patches", "sampler"),
        ("renalis.postprocessing", "min_feret", "rule"),
    ],
)
def test_no_kind_of_name_of_ours_can_be_taken(
    site: Path, group: str, name: str, kind: Kind
) -> None:
    install(site, "greedy", "1.0", {"greedy": "raise AssertionError"}, {group: {name: "greedy"}})
    (found,) = [one for one in offers() if one.package == "greedy"]
    assert "is the name of one of renalis's own" in str(REGISTRIES[kind].problem(found))
    uses = "renalis-kidney" if name == "patches" else "multires3d"
    with pytest.warns(PluginWarning, match=f"greedy 1.0 offers a {kind} '{name}'"):
        load_system(uses)
