"""The reference of ``measurements.json``, made from the schema that files are checked against."""

from __future__ import annotations

from typing import Any

from tables import cell, code, table

from renalis.measurement import schema

__all__ = ["measurements_page"]

HEAD = """# measurements.json

Every field of the file, made from its JSON schema (`renalis.measurement.schema()`). The endings of
names are units: `_mm`, `_ml`, `_hu`. [Measurements](../explanation/measurements.md) says how each
is measured; `measurements.csv` holds the totals and the largest lesion of each case.

"""


def measurements_page() -> str:
    """The page's text."""
    whole: dict[str, Any] = schema()
    parts = [HEAD, "## The file\n\n", _fields(whole)]
    for name, definition in whole.get("$defs", {}).items():
        told = definition.get("description", "")
        parts.append(f"\n## {name}\n\n{told}{'.' if told else ''}\n\n{_fields(definition)}")
    return "".join(parts)


def _fields(definition: dict[str, Any]) -> str:
    return table(("field", "value", "meaning"), list(_rows(definition, "")))


def _rows(definition: dict[str, Any], before: str) -> list[tuple[str, str, str]]:
    """One row per field; fields of a section follow it, with its name before theirs."""
    rows = []
    for name, field in definition.get("properties", {}).items():
        rows.append((code(before + name), _kind(field), cell(field.get("description", ""))))
        rows += _rows(field, f"{before}{name}.")
    return rows


def _kind(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "const" in field:
        return code(str(field["const"]))
    if "enum" in field:
        return ", ".join(code(str(value)) for value in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(_kind(one) for one in field[several])
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
