"""The reference of the command line, made from the parsers that the program uses."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from tables import cell, code, table

from renalis.cli import VERBS, verb_parser

__all__ = ["command_line_page"]

HEAD = """# Command line

Every verb with every option, made from the program's own parsers; `renalis VERB --help` prints the
same. Exit codes: 0 done, 1 some cases failed (each is named), 2 bad usage or input, 3 internal
error, 130 interrupted (Ctrl-C), 143 ended by SIGTERM; what is finished is kept.

"""


def command_line_page() -> str:
    """The page's text."""
    parts = [HEAD]
    for verb in VERBS:
        parts.append(f"## renalis {verb}\n\n{_sentence(VERBS[verb])}\n\n")
        parts += _sections(verb_parser(verb), f"renalis {verb}")
    return "".join(parts)


def _sections(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """Usage and options, then the same of each action."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not actions:
        usage = textwrap.dedent(" " * len("usage: ") + parser.format_usage()[len("usage: ") :])
        yield f"```text\n{usage.rstrip()}\n```\n\n{_options(parser)}\n"
    for group in actions:
        told = {choice.dest: choice.help for choice in group._choices_actions}
        for action, child in group.choices.items():
            yield f"### {name} {action}\n\n{_sentence(told.get(action) or '')}\n\n"
            yield from _sections(child, f"{name} {action}")


def _options(parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()
    rows = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        text = formatter._expand_help(action) if action.help else ""
        if action.choices:
            text += f" ({', '.join(map(str, action.choices))})"
        rows.append((_named(action), cell(text)))
    return table(("option", "meaning"), rows) if rows else ""


def _named(action: argparse.Action) -> str:
    """``-o OUT, --output OUT`` as code."""
    value = action.metavar if action.metavar is not None else action.dest
    value = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return code(value)
    takes = "" if action.nargs == 0 else f" {value if action.metavar else value.upper()}"
    return ", ".join(code(f"{option}{takes}") for option in action.option_strings)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
