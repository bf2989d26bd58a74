"""Errors that a user can act on.

Each message is one sentence that says what is wrong, in which file, and what to do about it. The
command line prints it without a traceback and exits with 2 (or 1 when other cases succeeded).
Everything else that is raised is a defect of the program and exits with 3.
"""

__all__ = [
    "CacheWarning",
    "DamageWarning",
    "InputError",
    "MemoryWarning",
    "OutputError",
    "PluginWarning",
    "RenalisError",
    "UsageError",
]


class RenalisError(Exception):
    """Base of all errors that a user can act on."""


class InputError(RenalisError):
    """A file or folder that was given cannot be used."""


class OutputError(RenalisError):
    """A result cannot be written: no permission, no space left, already there."""


class UsageError(RenalisError):
    """The options given do not fit together."""


class CacheWarning(UserWarning):
    """Files that can be made again went, or leave too little room for others."""


class DamageWarning(UserWarning):
    """A file that can be made again was damaged; it is made again."""


class MemoryWarning(UserWarning):
    """Memory is short; the work goes on in smaller parts."""


class PluginWarning(UserWarning):
    """Another package that adds to renalis is not as it should be; the work goes on."""
