"""Recipes: readable YAML files, validated by typed models."""

from renalis.recipes.reading import (
    find_recipe,
    load_system,
    names,
    published,
    stored_system,
)
from renalis.recipes.synthetic_fields import Bodies, HeldBack
from renalis.recipes.system import Stage, System

__all__ = [
    "Bodies",
    "HeldBack",
    "Stage",
    "System",
    "find_recipe",
    "load_system",
    "names",
    "published",
    "stored_system",
]
