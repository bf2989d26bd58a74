"""Recipes: readable YAML files, validated by typed models."""

from renalis.recipes.reading import (
    find_recipe,
    load_any,
    load_recipe,
    load_system,
    names,
    stored_any,
    stored_recipe,
    stored_system,
)
from renalis.recipes.schema import (
    Balance,
    Bodies,
    HeldBack,
    Optimisation,
    Recipe,
    Stage,
)
from renalis.recipes.system import Phase, System

__all__ = [
    "Balance",
    "Bodies",
    "HeldBack",
    "Optimisation",
    "Phase",
    "Recipe",
    "Stage",
    "System",
    "find_recipe",
    "load_any",
    "load_recipe",
    "load_system",
    "names",
    "stored_any",
    "stored_recipe",
    "stored_system",
]
