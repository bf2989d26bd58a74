"""Recipes: readable YAML files, validated by typed models."""

from renalis.recipes.network_fields import NetworkOptions
from renalis.recipes.output_fields import RuleOptions
from renalis.recipes.reading import (
    find_recipe,
    load_system,
    names,
    needs_of,
    published,
    stored_system,
    stored_text,
)
from renalis.recipes.sample_fields import SamplerOptions
from renalis.recipes.synthetic_fields import Bodies, HeldBack
from renalis.recipes.system import Stage, System
from renalis.recipes.train_fields import TermOptions

__all__ = [
    "Bodies",
    "HeldBack",
    "NetworkOptions",
    "RuleOptions",
    "SamplerOptions",
    "Stage",
    "System",
    "TermOptions",
    "find_recipe",
    "load_system",
    "names",
    "needs_of",
    "published",
    "stored_system",
    "stored_text",
]
