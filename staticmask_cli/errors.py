"""Exceptions for errors of the user, each with its exit status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Exit status if quality checks failed and ``strict`` is set.
CHECKS_FAILED = 4


class StaticMaskError(Exception):
    """One or more problems that the user can fix.

    Parameters
    ----------
    *problems : str
        One line for each: the file or option, the reason, what to do.

    Attributes
    ----------
    problems : tuple of str
        The same lines, in the order in which they were found.
    """

    exit_status = 1

    def __init__(self, *problems: str) -> None:
        # File names and header values may contain any character.
        self.problems = tuple(map(printable, problems))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def one_line_each(reasons: Mapping[str, Sequence[object]]) -> tuple[str, ...]:
    """Return a line for each reason: the first file that has it, and the number of others."""
    return tuple(
        f"{files[0]}: {reason}" + (f" (and {len(files) - 1} more)" if len(files) > 1 else "")
        for reason, files in reasons.items()
    )


class ConfigError(StaticMaskError, ValueError):
    """A configuration file, environment variable, option or argument is wrong."""

    exit_status = 2


class InputError(StaticMaskError):
    """An exposure, a list or an association cannot be used."""


class OutputError(StaticMaskError):
    """A mask cannot be written."""


def printable(text: object) -> str:
    """Return `text` as one line that is safe to print on a terminal.

    Line breaks and control characters, which file names and header values may
    contain, are escaped as in a Python string.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown
    )
