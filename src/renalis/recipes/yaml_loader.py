"""How YAML is read: plain data only, and no key twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is faster

__all__ = ["LOADER"]


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
