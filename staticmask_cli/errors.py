"""What can go wrong for a user, each with its exit status."""

from __future__ import annotations

#: Exit status if quality checks failed and ``strict`` is set.
CHECKS_FAILED = 4


class StaticMaskError(Exception):
    """One or several problems that a user can mend.

    Parameters
    ----------
    *problems : str
        One line each: the file or option, the reason, what to do.

    Attributes
    ----------
    problems : tuple of str
        The same lines, in the order in which they were found.
    """

    exit_status = 1

    def __init__(self, *problems: str) -> None:
        # Names of files and values of headers in them may hold any character.
        self.problems = tuple(map(printable, problems))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ConfigError(StaticMaskError, ValueError):
    """A configuration file, environment variable, option or argument is wrong."""

    exit_status = 2


class InputError(StaticMaskError):
    """An exposure, a list or an association cannot be used."""


class OutputError(StaticMaskError):
    """A mask cannot be written."""


def printable(text: object) -> str:
    """Return `text` in one line that does no harm to a terminal.

    File names and header values can hold line breaks and escape sequences;
    those come out as Python writes them in a string.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )
