"""What other packages add to recipes: networks, samplers, loss terms, post-processing rules.

A package says by entry points which names it offers. Its module is imported when a recipe, a run or
a model file names one of them, and never otherwise: ``renalis segment`` with the shipped model
reads no entry point. Files say which name, package and version they need and never which module, so
what is imported is what the user installed.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from renalis.errors import InputError, PluginWarning

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = [
    "NETWORKS",
    "REGISTRIES",
    "RULES",
    "SAMPLERS",
    "TERMS",
    "Addition",
    "Kind",
    "Need",
    "Offer",
    "Registry",
    "installed_packages",
    "offers",
    "require",
]

Kind = Literal["network", "sampler", "loss term", "rule"]

_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,79}$")]


class Need(BaseModel):
    """What a run or a model file needs and renalis does not have.

    Attributes
    ----------
    kind : {"network", "sampler", "loss term", "rule"}
    name : str
        As recipes name it.
    package, version : str or None
        Who offered it. None: it was registered by a program and not by a package.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    name: _Word
    package: _Word | None = None
    version: _Word | None = None

    def __str__(self) -> str:
        owner = "no package" if self.package is None else f"{self.package} {self.version}"
        return f"{owner} ({self.kind} {self.name})"


@dataclass(frozen=True)
class Addition:
    """Something that recipes can name.

    Attributes
    ----------
    name : str
        What recipes call it.
    make : callable
        Makes it from its options.
    options : type or None
        Its fields in a recipe. None for what renalis has itself: those are in `renalis.recipes`,
        so that recipes are read without torch.
    """

    name: str
    make: Callable[..., Any]
    options: type[BaseModel] | None


@dataclass(frozen=True)
class Offer:
    """An entry point: a name that an installed package offers; nothing of it is imported yet."""

    kind: Kind
    name: str
    package: str
    version: str
    point: EntryPoint

    def __str__(self) -> str:
        return f"the package {self.package} {self.version}"


class Registry:
    """All of one kind that recipes can name.

    Parameters
    ----------
    kind : {"network", "sampler", "loss term", "rule"}
        For messages.
    group : str
        The group of entry points.
    """

    def __init__(self, kind: Kind, group: str) -> None:
        self.kind, self.group = kind, group
        self._known: dict[str, Addition] = {}
        self._own: tuple[str, ...] = ()

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names for renalis's own, which recipes know before it is imported."""
        self._own = tuple(dict.fromkeys((*self._own, *names)))

    def known(self) -> Mapping[str, Addition]:
        """What is registered so far; cannot be written to."""
        return MappingProxyType(self._known)

    def add(self, addition: Addition) -> None:
        """Register something; a module that is imported again may replace its own.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        there = self._known.get(addition.name)
        if there is not None:
            taken = _ours(there) or _place(there) != _place(addition)
        else:
            taken = addition.name in self._own and not _ours(addition)
        if taken:
            owner = "renalis" if there is None else _place(there)
            raise ValueError(
                f"there already is a {self.kind} {addition.name!r} ({owner}); "
                f"{_place(addition)} needs another name"
            )
        self._known[addition.name] = addition

    def find(self, name: str) -> Addition:
        """What is registered by this name, after importing the package that offers it.

        Raises
        ------
        ValueError
            If there is nothing of this name.
        InputError
            If two packages offer it, or the one that does cannot be used.
        """
        there = self._known.get(name)
        if there is not None and _ours(there):
            return there
        offer = self.offer(name)
        if offer is None:
            if there is None:
                raise ValueError(self._unknown(name))
            return there
        if there is None:
            self._load(offer)
            there = self._known[name]
        if _top(there.make.__module__) != _top(offer.point.module):
            raise InputError(
                f"{offer} offers the {self.kind} {name!r}, which {_place(there)} has registered; "
                "uninstall one of the two"
            )
        return there

    def offer(self, name: str) -> Offer | None:
        """The installed package that offers a name, if there is one.

        Raises
        ------
        InputError
            If there are two.
        """
        found = [one for one in offers() if one.kind == self.kind and one.name == name]
        if len(found) > 1:
            raise InputError(
                f"{found[0]} and {found[1]} both offer a {self.kind} {name!r}; uninstall one of "
                "the two"
            )
        return found[0] if found else None

    def options(self, name: str) -> type[BaseModel]:
        """The fields in a recipe of something that a package or a program adds.

        Raises
        ------
        ValueError, InputError
            As `find`; if it was registered without its fields.
        """
        found = self.find(name)
        if _ours(found):
            raise ValueError(self._unknown(name))
        if found.options is None:
            raise ValueError(f"{_place(found)} is registered without options=, its fields")
        return found.options

    def refuse_clash(self, name: str) -> None:
        """Warn of packages that offer a name of renalis's own, which stays what it is."""
        for one in offers():
            if one.kind == self.kind and one.name == name:
                warnings.warn(self._clash(one), PluginWarning, stacklevel=2)

    def problem(self, offer: Offer) -> str | None:
        """Why an offer cannot be used, after importing its package; None if it can."""
        if offer.name in self._own:
            return self._clash(offer)
        try:
            self.options(offer.name)
        except (InputError, ValueError) as error:
            return str(error)
        return None

    def need(self, name: str) -> Need:
        """What a file that names this needs."""
        offer = self.offer(name)
        package, version = (None, None) if offer is None else (offer.package, offer.version)
        return Need(kind=self.kind, name=name, package=package, version=version)

    def _load(self, offer: Offer) -> None:
        try:
            offer.point.load()
        except (Exception, SystemExit) as error:
            # Whatever a stranger's module does at import, it is theirs to mend.
            words = " ".join(str(error).split())[:300]
            raise InputError(
                f"{offer}, which offers the {self.kind} {offer.name!r}, cannot be imported "
                f"({type(error).__name__}: {words}); update or uninstall it"
            ) from error
        if offer.name not in self._known:
            raise InputError(
                f"{offer} offers the {self.kind} {offer.name!r}, but its module "
                f"{offer.point.module} does not register it; update or uninstall it"
            )

    def _clash(self, offer: Offer) -> str:
        return (
            f"{offer} offers a {self.kind} {offer.name!r}, which is the name of one of renalis's "
            "own; renalis's is used, and the package needs another name"
        )

    def _unknown(self, name: str) -> str:
        names = list(self._own or [one.name for one in self._known.values() if _ours(one)])
        names += [one.name for one in self._known.values() if not _ours(one)]
        names += [one.name for one in offers() if one.kind == self.kind]
        return f"there is no {self.kind} {name!r}; known are {', '.join(dict.fromkeys(names))}"


NETWORKS = Registry("network", "renalis.networks")
SAMPLERS = Registry("sampler", "renalis.samplers")
TERMS = Registry("loss term", "renalis.losses")
RULES = Registry("rule", "renalis.postprocessing")

REGISTRIES: Mapping[Kind, Registry] = MappingProxyType(
    {one.kind: one for one in (NETWORKS, SAMPLERS, TERMS, RULES)}
)


def offers() -> tuple[Offer, ...]:
    """All that installed packages offer, by their entry points; nothing is imported."""
    return _offers(tuple(sys.path))


def require(needs: Iterable[Need], path: Path) -> None:
    """Refuse a file whose packages are not here; nothing is imported.

    Parameters
    ----------
    needs : iterable of Need
        What the file says that it needs.
    path : Path
        The file or folder, for the message.

    Raises
    ------
    InputError
        If a package is not installed, or does not offer what the file needs.

    Warns
    -----
    PluginWarning
        If another version is installed.
    """
    others: dict[str, str] = {}
    for need in needs:
        registry = REGISTRIES[need.kind]
        offer = registry.offer(need.name)
        what = f"{path} needs the {need.kind} {need.name!r}"
        if need.package is None:
            if offer is None and need.name not in registry.known():
                raise InputError(
                    f"{what}, which was registered by a program and is in no installed package; "
                    "open it with that program, or make a package of it"
                )
            continue
        what += f" of the package {need.package} {need.version}"
        if offer is None or offer.package != need.package:
            here = _version(need.package)
            if offer is not None:
                why = f"here {offer} offers that name; install the other in its place"
            elif here is not None:
                why = f"{need.package} {here}, which is installed, does not offer it; install that"
            else:
                why = "which is not installed; if you trust whoever made it, install it"
            raise InputError(f"{what}{', ' if here is None and offer is None else '; '}{why}")
        if offer.version != need.version:
            other = f"{offer.version} is installed and may give other results"
            others.setdefault(need.package, f"{what}; {other}")
    for sentence in others.values():
        warnings.warn(sentence, PluginWarning, stacklevel=2)


def installed_packages(needs: Iterable[Need]) -> dict[str, str | None]:
    """Version by package of what is needed, as installed here."""
    return {need.package: _version(need.package) for need in needs if need.package is not None}


@lru_cache(maxsize=4)
def _offers(paths: tuple[str, ...]) -> tuple[Offer, ...]:
    """Of packages in these folders."""
    from importlib import metadata

    kinds = {one.group: kind for kind, one in REGISTRIES.items()}
    found: dict[str, list[Offer]] = {}
    for package in metadata.distributions(path=list(paths)):
        text = package.read_text("entry_points.txt")
        if text is None or "renalis." not in text:
            continue
        try:
            mine = [
                Offer(kinds[point.group], point.name, package.name, package.version, point)
                for point in package.entry_points
                if point.group in kinds
            ]
        except Exception as error:  # a damaged file of a package must not stop the others
            warnings.warn(_unreadable(package, error), PluginWarning, stacklevel=2)
            continue
        # A package that lies in two folders is imported from the first.
        found.setdefault(package.name.lower(), mine)
    return tuple(offer for mine in found.values() for offer in mine)


def _unreadable(package: Distribution, error: Exception) -> str:
    return (
        f"the entry points of the package {package.name} cannot be read "
        f"({type(error).__name__}: {error}); reinstall or uninstall it"
    )


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _place(addition: Addition) -> str:
    """Where it is written."""
    made = addition.make
    return f"{made.__module__}.{getattr(made, '__qualname__', type(made).__name__)}"


def _ours(addition: Addition) -> bool:
    return _top(addition.make.__module__) == "renalis"


def _top(module: str) -> str:
    return module.partition(".")[0]
