"""Tidying: named anatomical rules, each of which can be switched off and says what it changed."""

from renalis.postprocessing.rules import DEFAULT, NONE, Rules
from renalis.postprocessing.tidy import RuleChange, Tidied, tidy

__all__ = ["DEFAULT", "NONE", "RuleChange", "Rules", "Tidied", "tidy"]
