"""Fields that say by name what they are: renalis's own, or what an installed package offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from renalis.plugins import Registry

__all__ = ["ByName"]


@dataclass(frozen=True, eq=False)
class ByName:
    """Validates a section by the typed model of the name in it, ours or a package's.

    Attributes
    ----------
    registry : Registry
        Where packages register.
    field : str
        The field that holds the name.
    own : type
        A union of renalis's own models, discriminated by that field.
    """

    registry: Registry
    field: str
    own: Any

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        """Renalis's own models."""
        union, *_ = get_args(self.own)
        return get_args(union)

    @property
    def names(self) -> tuple[str, ...]:
        """Renalis's own names."""
        kinds = (model.model_fields[self.field].annotation for model in self.models)
        return tuple(name for kind in kinds for name in get_args(kind))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """For pydantic: written as whatever was read."""
        own, names = handler.generate_schema(self.own), self.names

        def read(value: Any, ours: core_schema.ValidatorFunctionWrapHandler) -> Any:
            name = _name(value, self.field)
            if name is None or name in names:
                if name is not None:
                    self.registry.refuse_clash(name)
                return ours(value)
            try:
                options = self.registry.options(name, names)
            except ValueError as error:
                raise ValueError(f"{error}; correct the name or install its package") from None
            if not issubclass(options, source):
                raise ValueError(f"{options.__name__} of {name!r} is no {source.__name__}")
            return options.model_validate(value)

        return core_schema.no_info_wrap_validator_function(
            read, own, serialization=core_schema.simple_ser_schema("any")
        )


def _name(value: Any, field: str) -> str | None:
    name = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
    return name if isinstance(name, str) else None
