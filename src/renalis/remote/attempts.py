"""What a network may refuse is tried again, ever less often; then it is one sentence."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from renalis.errors import InputError, OutputError, RenalisError

__all__ = ["PAUSES_S", "UnreachableError", "attempted"]

PAUSES_S = (0.5, 2.0, 8.0)
"""Seconds before each further try; drivers try several times by themselves at each."""

_Result = TypeVar("_Result")

_LASTING = (
    ArithmeticError, AssertionError, AttributeError, ImportError, IsADirectoryError, LookupError,
    MemoryError, NotADirectoryError, NotImplementedError, TypeError, ValueError,
)  # fmt: skip
"""What no further try changes."""

_NO_KEY = (
    "AuthenticationException", "ClientAuthenticationError", "DefaultCredentialsError",
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "RefreshError",
    "TokenRetrievalError",
)  # fmt: skip
"""Names of drivers' errors about credentials, which are not otherwise told from others."""


class UnreachableError(RenalisError):
    """A store did not answer, however often it was asked."""


def attempted(action: Callable[[], _Result], what: str, *, writing: bool = False) -> _Result:
    """Do something with a store, again if the network fails.

    Parameters
    ----------
    action : callable
        What may be done several times.
    what : str
        The place, as it may be shown.
    writing : bool
        Whether it is written to, for the sentence.

    Raises
    ------
    InputError, OutputError
        If it is not there, or may not be read or written. No message of a driver is quoted: it
        may hold credentials.
    UnreachableError
        If the store cannot be reached.
    """
    kind = OutputError if writing else InputError
    for pause in (*PAUSES_S, None):
        try:
            return action()
        except RenalisError:
            raise
        except FileNotFoundError:
            raise kind(f"{what} does not exist; check the URL") from None
        except PermissionError:
            raise kind(_refused(what, writing)) from None
        except _LASTING as error:
            raise kind(
                f"{what} cannot be {'written' if writing else 'read'}: its store does not allow "
                f"it ({type(error).__name__}); check the URL"
            ) from None
        except Exception as error:
            if type(error).__name__ in _NO_KEY:
                raise kind(_refused(what, writing)) from None
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise kind(f"{what}: no space is left to write to; free some, run again") from None
            if pause is None:
                raise UnreachableError(
                    f"{what} cannot be reached ({type(error).__name__}, tried "
                    f"{len(PAUSES_S) + 1} times); check the network, then repeat the command: "
                    "what is finished is kept"
                ) from None
        time.sleep(pause)
    raise AssertionError  # the last pause is None


def _refused(what: str, writing: bool) -> str:
    verb = "written" if writing else "read"
    return f"{what} may not be {verb}; check the credentials that the store's driver is given"
