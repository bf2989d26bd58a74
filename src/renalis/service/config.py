"""What the service is told: one YAML file, checked before anything begins."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from renalis.errors import InputError
from renalis.recipes.fields import Count, Frozen, Positive, first_problem
from renalis.recipes.yaml_loader import read_yaml

__all__ = [
    "Archive",
    "Config",
    "Destination",
    "DimseDestination",
    "DimseNode",
    "Limits",
    "Peer",
    "Rest",
    "Tls",
    "WebDestination",
    "is_loopback",
    "read_config",
]

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$", min_length=1)
]
"""PS3.5 6.2, AE: 16 characters without control characters and backslash, no blanks around."""
Port = Annotated[int, Field(ge=0, le=65535)]
"""0 takes a free one, which the log names."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Tls(Frozen):
    """Certificates for one listener or one connection; PEM files.

    Attributes
    ----------
    certificate, key : Path or None
        Our own. A listener needs both.
    authority : Path or None
        Who has to have signed the other side's certificate: of a listener, clients without one are
        refused; of a connection, None takes the system's authorities.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or neither")
        return self


class Rest(Frozen):
    """The REST API.

    Attributes
    ----------
    host : str
        Address to listen on; this machine alone by default.
    port : int
        Its port.
    tokens : Path or None
        File of hashed tokens; ``tokens`` in the service's folder by default.
    tls : Tls or None
        Certificate and key.
    behind_proxy : bool
        Whether another program on the way to other machines adds TLS: without it, an address that
        others can reach needs ``tls``.
    requests_per_minute : int
        Of one token.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    tokens: Path | None = None
    tls: Tls | None = None
    behind_proxy: bool = False
    requests_per_minute: Count = 600

    @model_validator(mode="after")
    def _not_in_the_open(self) -> Rest:
        if self.tls is not None and self.tls.certificate is None:
            raise ValueError("tls needs certificate and key")
        if not is_loopback(self.host) and self.tls is None and not self.behind_proxy:
            raise ValueError(
                f"{self.host} can be reached by other machines, so tokens and scans need tls, or "
                "behind_proxy: true where a proxy adds it"
            )
        return self


class Peer(Frozen):
    """Who may send to the DICOM node: an AE title from an address, and only from there."""

    ae_title: AeTitle
    address: str

    @field_validator("address")
    @classmethod
    def _network(cls, address: str) -> str:
        ipaddress.ip_network(address)  # a ValueError says what is wrong
        return address

    def allows(self, ae_title: str, address: str) -> bool:
        """Whether this is the one who calls."""
        caller = ipaddress.ip_address(address)
        if isinstance(caller, ipaddress.IPv6Address) and caller.ipv4_mapped is not None:
            caller = caller.ipv4_mapped
        return ae_title == self.ae_title and caller in ipaddress.ip_network(self.address)


class DimseNode(Frozen):
    """The DICOM node.

    Attributes
    ----------
    ae_title, host, port
        Its own.
    peers : tuple of Peer
        Who may call; all others are refused.
    tls : Tls or None
        Certificate and key.
    quiet_s : float
        A series is whole when nothing of it came for so long after the last association that
        brought some was released.
    patience_s : float
        How long a series that broke off waits to be sent again.
    associations : int
        At a time.
    associations_per_minute : int
        From one address.
    send_to : tuple of str
        Names of ``destinations`` that get the results.
    """

    ae_title: AeTitle = "RENALIS"
    host: str = "127.0.0.1"
    port: Port = 11112
    peers: Annotated[tuple[Peer, ...], Field(min_length=1)]
    tls: Tls | None = None
    quiet_s: Positive = 10.0
    patience_s: Positive = 600.0
    associations: Count = 10
    associations_per_minute: Count = 300
    send_to: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _own_certificate(self) -> DimseNode:
        if self.tls is not None and self.tls.certificate is None:
            raise ValueError("tls needs certificate and key")
        return self


class DimseDestination(Frozen):
    """A DICOM node that takes results by C-STORE."""

    kind: Literal["dimse"]
    ae_title: AeTitle
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: Tls | None = None


class _Web(Frozen):
    """A DICOMweb server.

    Attributes
    ----------
    url : str
        Of its DICOMweb root.
    token_file : Path or None
        Holds a bearer token.
    login_file : Path or None
        Holds ``name:password``.
    tls : Tls or None
        ``authority`` to trust; certificate and key where it asks for them.
    """

    url: str
    token_file: Path | None = None
    login_file: Path | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _url(self) -> _Web:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url is http:// or https:// and a host, not {self.url!r}")
        if parts.username or parts.password:
            raise ValueError("url holds a password; put it into a login_file")
        secret = self.token_file or self.login_file
        if secret and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("url is http, which would show the password to others; take https")
        return self


class WebDestination(_Web):
    """A DICOMweb server that takes results by STOW-RS."""

    kind: Literal["dicomweb"]


Destination = Annotated[DimseDestination | WebDestination, Field(discriminator="kind")]


class Archive(_Web):
    """A DICOMweb server that is asked for series.

    Attributes
    ----------
    name : str
        What the REST API calls it.
    find : mapping or None
        QIDO-RS query for series, such as ``{Modality: CT, StudyDate: 20260101-}``; None asks for
        nothing by itself, so that only series that the REST API names are fetched.
    every_s : float
        How often to ask.
    send_to : tuple of str
        Names of ``destinations`` that get the results.
    """

    name: Name
    find: dict[str, str] | None = None
    every_s: Positive = 60.0
    send_to: tuple[str, ...] = ()


class Limits(Frozen):
    """What is too much.

    Attributes
    ----------
    upload_mb, unpacked_mb : float
        Of one upload as it comes and unpacked.
    files : int
        In one upload.
    image_mb, series_mb : float
        Of one DICOM object, and of all of a series.
    images : int
        Of a series.
    waiting : int
        Jobs; while there are more, uploads, images and fetches are refused for the time being.
    free_gb : float
        Of disk space; below, the same.
    keep_days : float
        A job that has ended is deleted with its scan and its results.
    attempts : int
        Of a job during which the program ends again and again.
    tries : int
        To send an object or to fetch a series, ever less often, about a day in all.
    """

    upload_mb: Positive = 2048.0
    unpacked_mb: Positive = 8192.0
    files: Count = 20000
    image_mb: Positive = 1024.0
    series_mb: Positive = 8192.0
    images: Count = 10000
    waiting: Count = 500
    free_gb: Positive = 2.0
    keep_days: Positive = 7.0
    attempts: Count = 10
    tries: Count = 30


class Config(Frozen):
    """All of it.

    Attributes
    ----------
    folder : Path
        For all that the service keeps; nobody else may read it.
    model, threads, max_ram_mb, device
        As for ``renalis segment``.
    write : tuple of str
        As there; of an upload that is no DICOM, what needs a study is left out.
    report : bool
        Whether to write preview and page.
    """

    folder: Path
    model: str = "renalis-kidney"
    threads: Count | None = None
    max_ram_mb: Positive | None = None
    device: Literal["auto", "cpu", "cuda"] | None = None
    write: tuple[str, ...] = ("nifti", "dicom-seg", "sr", "pdf")
    report: bool = True
    rest: Rest = Rest()
    dimse: DimseNode | None = None
    archives: tuple[Archive, ...] = ()
    destinations: dict[Name, Destination] = Field(default_factory=dict)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _names_fit(self) -> Config:
        named = [name for archive in self.archives for name in archive.send_to]
        for name in (*named, *(self.dimse.send_to if self.dimse else ())):
            if name not in self.destinations:
                raise ValueError(f"send_to names {name!r}, which destinations does not have")
        names = [archive.name for archive in self.archives]
        if len(set(names)) < len(names):
            raise ValueError("two archives have the same name")
        return self

    @property
    def tokens(self) -> Path:
        """The file of hashed tokens."""
        return self.rest.tokens or self.folder / "tokens"


def read_config(path: Path, changes: dict[str, Any] | None = None) -> Config:
    """Read and check a configuration.

    Parameters
    ----------
    path : Path
        YAML file. Paths in it are from its own folder.
    changes : dict, optional
        Fields to set besides, by dotted names.

    Raises
    ------
    InputError
        If it cannot be read, or a field is unknown, missing or out of range.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} is no configuration: it holds no fields")
    for key, value in (changes or {}).items():
        *parts, last = key.split(".")
        place = content
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f"{path}: field {part} has to hold fields")
        place[last] = value
    try:
        found: Config = _with_paths_from(path.absolute().parent, Config.model_validate(content))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error, list(Config.model_fields))}") from error
    return found


def _with_paths_from(folder: Path, part: Any) -> Any:
    """The same with paths that begin at the configuration's own folder."""
    if isinstance(part, Path):
        return folder / part
    if isinstance(part, Frozen):
        given = {name: getattr(part, name) for name in part.model_fields_set}
        return part.model_copy(update=_with_paths_from(folder, given))
    if isinstance(part, tuple):
        return tuple(_with_paths_from(folder, each) for each in part)
    if isinstance(part, dict):
        return {name: _with_paths_from(folder, each) for name, each in part.items()}
    return part
