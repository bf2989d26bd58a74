"""Recipes: readable YAML files, validated by typed models."""

from renalis.recipes.schema import (
    Balance,
    Bodies,
    HeldBack,
    Optimisation,
    Recipe,
    Stage,
    load_recipe,
    stored_recipe,
)

__all__ = [
    "Balance",
    "Bodies",
    "HeldBack",
    "Optimisation",
    "Recipe",
    "Stage",
    "load_recipe",
    "stored_recipe",
]
