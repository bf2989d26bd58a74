"""How YAML is read: plain data only, no key twice, no aliases, and no more than people write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from renalis.errors import InputError

if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is faster

__all__ = ["LOADER", "load_yaml", "read_yaml"]

_LONGEST = 1 << 20
"""Characters."""
_DEEPEST = 50


class LOADER(_Safe):
    """Knows plain data only, and refuses a mapping that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping as a dict.

        Raises
        ------
        yaml.constructor.ConstructorError
            If a key is there twice: YAML would take the last one without a word.
        """
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            line = key.start_mark.line + 1
            if name in lines:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {name!r} is there twice, in lines {lines[name]} and {line}; "
                    "keep one of them"
                )
            if name is not None:
                lines[name] = line
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """The content of a YAML text.

    Parameters
    ----------
    text : str
        From anywhere. Aliases are refused, since a few lines of them stand for more values than
        any memory holds; so are long and deeply nested texts.

    Raises
    ------
    yaml.YAMLError
        If it is no such text.
    """
    if len(text) > _LONGEST:
        raise yaml.YAMLError(f"it has more than {_LONGEST} characters")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise yaml.YAMLError(f"line {line} has an alias (*); write the value out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                raise yaml.YAMLError(f"it is nested more than {_DEEPEST} deep")
        return yaml.load(text, Loader=LOADER)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # Tags such as !!float promise what follows to be a number, and it may be none.
        raise yaml.YAMLError(f"a value is not what its tag says ({error})") from error


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, as `load_yaml` takes it.

    Raises
    ------
    InputError
        If it cannot be read, or is no such text.
    """
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
