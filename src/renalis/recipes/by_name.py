"""Fields that say by name what they are: renalis's own, or what an installed package offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from renalis.plugins import Registry

__all__ = ["ByName"]


@dataclass(frozen=True, eq=False)
class ByName:
    """Validates a section by the typed model of the name in it, ours or a package's.

    Annotates a union in `typing.Annotated`: renalis's own models, and ``base``.

    Attributes
    ----------
    registry : Registry
        Where packages register. Names of renalis's own are reserved there.
    field : str
        The field that holds the name.
    base : type
        Of packages' models.
    """

    registry: Registry
    field: str
    base: type[BaseModel]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """For pydantic: written as whatever was read."""
        models = [model for model in get_args(source) if model is not self.base]
        names = self._names(models)
        self.registry.reserve(names)
        own = Annotated[reduce(or_, models), Field(discriminator=self.field)]  # type: ignore[valid-type]

        def read(value: Any, ours: core_schema.ValidatorFunctionWrapHandler) -> Any:
            name = _name(value, self.field)
            if name is None or name in names:
                if name is not None:
                    self.registry.refuse_clash(name)
                return ours(value)
            try:
                options = self.registry.options(name)
            except ValueError as error:
                raise ValueError(f"{error}; correct the name or install its package") from None
            if not issubclass(options, self.base):
                raise ValueError(f"{options.__name__} of {name!r} is no {self.base.__name__}")
            return options.model_validate(value)

        return core_schema.no_info_wrap_validator_function(
            read, handler.generate_schema(own), serialization=core_schema.simple_ser_schema("any")
        )

    def _names(self, models: list[Any]) -> tuple[str, ...]:
        kinds = (model.model_fields[self.field].annotation for model in models)
        return tuple(name for kind in kinds for name in get_args(kind))


def _name(value: Any, field: str) -> str | None:
    name = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
    return name if isinstance(name, str) else None
