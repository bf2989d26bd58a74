"""Every command line in the documents is one: quick ones run, long ones are parsed."""

from __future__ import annotations

import argparse
import re
from functools import cache
from pathlib import Path

import pytest
from helpers.documents import PROGRAMS, ROOT, Command, blocks, commands, inline, pages

from renalis.cli import VERBS, main, verb_parser
from renalis.recipes import load_system, names

PAGES = pages()
COMMANDS = [command for page in PAGES for command in commands(page)]
OURS = [command for command in COMMANDS if command.program == "renalis"]
QUICK = {("recipe", "list"), ("recipe", "show"), ("recipe", "copy"), ("recipe", "diff"),
         ("model", "list"), ("model", "info")}  # fmt: skip
"""What takes less than a second and needs no data."""
OTHERS_OPTIONS = {"--save_probabilities": "nnU-Net", "--logdir": "TensorBoard"}
"""Options of other programs that the documents name."""

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z_-]*")


def _options(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of its actions' parsers."""
    found: set[str] = set()
    for action in parser._actions:
        found.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            found.update(*(_options(each) for each in action.choices.values()))
    return found


@cache
def options_of(verb: str) -> frozenset[str]:
    return frozenset(_options(verb_parser(verb)))


def parsed(words: tuple[str, ...]) -> argparse.Namespace:
    """The arguments of a command, by the parser that the program uses.

    Abbreviated options are none here: what a page shows has to be found in the help.
    """
    verb = words[1]
    assert verb in VERBS, f"there is no verb {verb!r}"
    given = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
    assert given <= options_of(verb), f"no options of {verb}: {sorted(given - options_of(verb))}"
    return verb_parser(verb).parse_args(words[2:])


def ids(commands: list[Command]) -> list[str]:
    return [str(command) for command in commands]


@pytest.mark.parametrize("command", OURS, ids=ids(OURS))
def test_a_documented_command_is_parsed(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        arguments = parsed(command.words)
    except SystemExit:
        pytest.fail(f"{command.place}: {capsys.readouterr().err.strip().splitlines()[-1]}")
    recipe = getattr(arguments, "recipe", None)
    if recipe in names():
        load_system(
            recipe,
            tuple(arguments.set),
            arguments.tiny,
            fine_tuning=getattr(arguments, "start_from", None) is not None,
            with_slices=bool(getattr(arguments, "slices", ())),
        )
    elif recipe is not None:
        assert recipe.endswith((".yaml", ".yml")), f"there is no recipe {recipe!r}"


def _is_quick(command: Command) -> bool:
    """Whether a command needs nothing but the package; files that are not there are a user's."""
    if command.words[1:3] not in QUICK:
        return False
    arguments = verb_parser(command.words[1]).parse_args(command.words[2:])
    asked = [getattr(arguments, name, None) for name in ("recipe", "left", "right")]
    return all(one is None or one in names() for one in asked)


RUNNABLE = [command for command in OURS if _is_quick(command)]
RUNNABLE_PAGES = sorted({command.page for command in RUNNABLE})


@pytest.mark.parametrize("page", RUNNABLE_PAGES)
def test_quick_commands_of_a_page_run_one_after_another(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in RUNNABLE:
        if command.page == page:
            code = main(command.words[1:])
            assert code == 0, f"{command.place}: {capsys.readouterr().err}"


def test_quick_commands_and_long_ones_are_found() -> None:
    assert len(RUNNABLE) >= 4
    assert len(OURS) >= 40
    assert {"README.md", "docs/explanation/training.md", "docs/recipes/unet3d.md"} <= {
        command.page for command in OURS
    }


@pytest.mark.parametrize(
    "line",
    [
        "renalis segment SCAN",  # no output
        "renalis segment SCAN -o OUT --no-such",
        "renalis segment SCAN -o OUT --anon",  # an abbreviation
        "renalis dataset splti DATA -o S.json --kfold 5",
        "renalis evaluate -r A -p B -o C --labels kits18",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises((SystemExit, AssertionError)):
        parsed(tuple(line.split()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_stand_in_blocks_that_are_checked(page: Path) -> None:
    shown = re.compile(rf"(\$ )?(\S*/)?({'|'.join(PROGRAMS)}) \S")
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language not in ("bash", "console"):
            loose = [line for line in block.lines if shown.match(line)]
            assert not loose, f"{page.name}:{block.first}: write ```bash before {loose[0]!r}"


def test_other_programs_of_blocks_are_checked_too() -> None:
    known = (*PROGRAMS, "cd", "git", "rm", "sed", "torchrun")
    assert not [str(command) for command in COMMANDS if command.program not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_and_their_options_exist(page: Path) -> None:
    said = [(place, text.split()) for place, text in inline(page) if "benchmarks/" in text]
    said += [(c.place, list(c.words)) for c in commands(page) if c.program == "python"]
    for place, words in said:
        script = next((word for word in words if word.startswith("benchmarks/")), None)
        if script is None or not script.endswith(".py"):
            continue
        assert (ROOT / script).is_file(), f"{place}: there is no {script}"
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in words[words.index(script) + 1 :]:
            if option.startswith("--"):
                assert f'"{option}"' in source, f"{place}: {script} has no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    said = [text.split() for _, text in inline(page) if text.startswith("make ")]
    said += [list(command.words) for command in commands(page) if command.program == "make"]
    wanted = {word for words in said for word in words[1:] if "=" not in word}
    assert wanted <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_named_in_the_text_exist(page: Path) -> None:
    everywhere = frozenset().union(*(options_of(verb) for verb in VERBS))
    scripts = "".join(path.read_text() for path in sorted((ROOT / "benchmarks").glob("*.py")))
    for place, text in inline(page):
        words = text.split()
        verb = words[1] if words[0] == "renalis" and len(words) > 1 else None
        if verb is not None and not verb.startswith("-"):
            assert verb in VERBS or verb == "VERB", f"{place}: there is no verb {verb!r}"
        known = options_of(verb) if verb in VERBS else everywhere
        for option in _OPTION.findall(text):
            found = option in known or option in OTHERS_OPTIONS
            found = found or (verb is None and f'"{option}"' in scripts)
            assert found or text == "renalis --help", f"{place}: nothing has the option {option}"
