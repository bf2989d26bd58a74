"""Recipes: readable YAML files, validated by typed models."""

from renalis.recipes.needs import needs_of
from renalis.recipes.network_fields import NetworkOptions
from renalis.recipes.reading import (
    find_recipe,
    load_system,
    names,
    published,
    stored_system,
    stored_text,
)
from renalis.recipes.synthetic_fields import Bodies, HeldBack
from renalis.recipes.system import Stage, System

__all__ = [
    "Bodies",
    "HeldBack",
    "NetworkOptions",
    "Stage",
    "System",
    "find_recipe",
    "load_system",
    "names",
    "needs_of",
    "published",
    "stored_system",
    "stored_text",
]
