"""Tokens of the REST API: random, shown once, kept as hashes in a file of their own."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from renalis.errors import InputError, OutputError, UsageError

__all__ = ["Tokens", "add_token", "read_tokens"]

_LINE = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,31}) sha256:(?P<hash>[0-9a-f]{64})")


@dataclass(frozen=True)
class Tokens:
    """Hashes by the names of who has them."""

    hashes: tuple[tuple[str, bytes], ...]

    def name_of(self, token: str) -> str | None:
        """Whose token this is; None if it is nobody's. Takes as long for each."""
        given = _hash(token)
        found = None
        for name, known in self.hashes:
            if hmac.compare_digest(given, known):
                found = name
        return found


def _hash(token: str) -> bytes:
    # Tokens are random and long, so a plain hash cannot be searched for them.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: Path) -> Tokens:
    """Read the file: a line ``NAME sha256:HASH`` each, ``#`` begins a comment.

    Raises
    ------
    InputError
        If it is missing, empty, or a line is something else; lines are never quoted.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the tokens of {path} cannot be read; check who may read it") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if match:
            found.append((match["name"], bytes.fromhex(match["hash"])))
        elif text:
            raise InputError(
                f"line {number} of {path} is not NAME sha256:HASH; make tokens with "
                "'renalis serve --config FILE --new-token NAME'"
            )
    if not found:
        raise InputError(
            f"{path} holds no token yet, and the REST API needs one; make it with "
            "'renalis serve --config FILE --new-token NAME'"
        )
    return Tokens(tuple(found))


def add_token(path: Path, name: str) -> str:
    """Make a token, and add its hash to the file.

    Returns
    -------
    str
        The token, which is kept nowhere.

    Raises
    ------
    UsageError
        If the name is none.
    OutputError
        If the file cannot be written.
    """
    token = secrets.token_urlsafe(32)
    line = f"{name} sha256:{_hash(token).hex()}"
    if not _LINE.fullmatch(line):
        raise UsageError(
            f"a token's name has small letters, digits, - and _, at most 32, not {name!r}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})") from error
    return token
