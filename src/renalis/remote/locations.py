"""Places in a store, named by URLs; what is shown of them holds no credentials."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any

from renalis.errors import UsageError
from renalis.io.scan import shown

__all__ = ["Location", "is_url", "open_location"]

_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)

_DRIVERS = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs",
    "adl": "adlfs", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
    "webdav": "webdav4", "hdfs": "pyarrow", "http": "aiohttp", "https": "aiohttp", "oci": "ocifs",
    "oss": "ossfs",
}  # fmt: skip
"""By protocol, the package that speaks it."""

_FLAT = ("s3", "s3a", "gs", "gcs", "abfs", "az", "oci", "oss", "tos", "memory")
"""Stores of objects, where folders are only parts of names."""

_WRAPPERS = (
    "arrow_hdfs", "async_wrapper", "asynclocal", "asyncwrapper", "blockcache", "cached", "dask",
    "data", "dir", "filecache", "generic", "git", "libarchive", "pyscript", "reference",
    "simplecache", "tar", "zip",
)  # fmt: skip
"""What fsspec calls protocols and is no store of files by itself."""


@dataclass(frozen=True)
class Location:
    """A place in a store.

    Attributes
    ----------
    filesystem : fsspec.AbstractFileSystem
        The store.
    path : str
        The place within it, as the store names it.
    url : str
        The place as it may be shown: without user, password and query.
    given : str
        What `open_location` needs to open the place again, elsewhere; may hold credentials.
    flat : bool
        Whether the store knows no folders.
    """

    filesystem: Any
    path: str
    url: str
    given: str = field(repr=False)
    flat: bool

    def __truediv__(self, name: str) -> Location:
        """A place below this one."""
        return replace(
            self, path=f"{self.path.rstrip('/')}/{name}", url=f"{self.url.rstrip('/')}/{name}"
        )

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> Location:
        """The folder around it."""
        above = self.path.rpartition("/")[0] or "/"
        return replace(self, path=above, url=self.url.rpartition("/")[0])


def is_url(place: object) -> bool:
    """Whether a place is named by a URL; a drive of Windows is none.

    >>> is_url("s3://bucket/scans"), is_url("C:/scans"), is_url("scans/a.nii.gz")
    (True, False, False)
    """
    return isinstance(place, str) and _URL.match(place) is not None


def open_location(place: str | os.PathLike[str]) -> Location:
    """A place by its URL, or a path of this machine.

    Parameters
    ----------
    place : str or path-like
        ``s3://bucket/folder`` or any other URL of one store that fsspec knows. Credentials and
        addresses of servers are those that the store's driver finds in its own configuration.

    Raises
    ------
    UsageError
        If the URL cannot be understood, its protocol is not known, or a package is missing.
    """
    import fsspec

    if not is_url(place):
        local = fsspec.filesystem("file")
        whole = os.path.abspath(place)
        return Location(local, whole, str(place), whole, flat=False)
    text = str(place)
    url = _without_secrets(text)
    match = _URL.match(text)
    assert match is not None
    protocol = match["protocol"].lower()
    if "::" in text or protocol in _WRAPPERS:
        raise UsageError(f"{shown(url)} chains several protocols; give the URL of one store")
    if not match["rest"].strip("/"):
        raise UsageError(f"{shown(url)} names no bucket, host or folder; write it after {url!r}")
    try:
        filesystem, path = fsspec.core.url_to_fs(protocol + text[len(protocol) :])
    except ImportError:
        package = _DRIVERS.get(protocol, protocol)
        how = "'renalis[remote]'" if package == "s3fs" else package
        raise UsageError(
            f"{shown(url)} needs the package {package}, which is not installed here: "
            f"pip install {how}"
        ) from None
    except ValueError as error:
        if "not known" in str(error).lower():
            raise UsageError(
                f"{shown(url)}: {protocol!r} is no protocol that is known; "
                "s3, gs, abfs, sftp, smb, hdfs, file and others of fsspec are"
            ) from None
        raise UsageError(f"{shown(url)} is no URL of a {protocol} store; check it") from None
    except Exception as error:
        # What drivers say may quote credentials.
        raise UsageError(
            f"{shown(url)} cannot be opened ({type(error).__name__}); check the URL, the "
            "credentials and the network"
        ) from None
    if not path.strip("/") and protocol != "file":
        raise UsageError(f"{shown(url)} names no bucket or folder; write it after {url!r}")
    flat = protocol in _FLAT
    return Location(filesystem, path.rstrip("/") or "/", url.rstrip("/"), text, flat)


def _without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment, which may all hold credentials.

    >>> _without_secrets("sftp://me:secret@host/scans?key=1")
    'sftp://host/scans'
    """
    protocol, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{protocol}://{host.rpartition('@')[2]}{slash}{path}"
