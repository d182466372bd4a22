"""The tasks of a worker: opening an exposure and reading its chips.

A worker is a thread, or a process on any machine: what it gets and returns can be
pickled. The problems of an exposure are returned, not raised: it may have several.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.opening import FilePath, exists
from staticmask_cli.exposures.unpacking import open_and_read
from staticmask_cli.exposures.urls import Url
from staticmask_cli.masking.measure import hash_of, wrong_sums
from staticmask_cli.settings import Settings

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[Result]):
    """What a worker found out about one chip.

    Attributes
    ----------
    result : object or None
        The result of the work; None if there was no work, or a problem.
    pixel_hash : str
        The hash of its pixels, if only that was wanted.
    wrong_sums : tuple of str
        Names of arrays that do not match DATASUM.
    problems : tuple of str
        Why it cannot be read, one line each.
    """

    result: Result | None = None
    pixel_hash: str = ""
    wrong_sums: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Generic[Result]):
    """An exposure that a worker opened.

    Attributes
    ----------
    chips : tuple of Chip
        Its chips; empty if it has problems.
    notes : tuple of str
        Warnings about the file, without its name.
    problems : tuple of str
        Why it cannot be used, one line each.
    outcomes : dict
        For chips that were read already.
    host : str
        The machine of the worker, if the file does not exist there.
    """

    chips: tuple[Chip, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    outcomes: dict[Chip, Outcome[Result]] = field(default_factory=dict)
    host: str = ""


def open_exposure(
    path: FilePath,
    settings: Settings,
    work: Callable[[Chip], Result] | None,
    *,
    any_flags: bool,
    skip_plain: bool,
) -> Opened[Result]:
    """Open an exposure, and read its chips.

    Parameters
    ----------
    path : Path or Url
        The exposure: an absolute path.
    settings : Settings
        Extensions to use, and whether flags count.
    work : callable or None
        Reads a chip; None to read no pixels.
    any_flags : bool
        Whether to find flags, if present, regardless of the settings.
    skip_plain : bool
        Whether to read only chips whose arrays are compressed or scaled: for the
        others, the headers reveal whether they can be read.
    """

    def read(chip: Chip) -> Outcome[Result] | None:
        is_read = work is not None and not chip.skipped and not (skip_plain and chip.is_plain)
        return read_chip(chip, work) if is_read else None

    try:
        exposure, found = open_and_read(
            path, settings, None if work is None else read, any_flags=any_flags
        )
    except InputError as error:
        host = "" if isinstance(path, Url) or exists(path) else socket.gethostname()
        return Opened(problems=error.problems, host=host)
    outcomes = {chip: found[chip] if chip in found else read(chip) for chip in exposure.chips}
    return Opened(
        chips=exposure.chips,
        notes=exposure.notes,
        outcomes={chip: outcome for chip, outcome in outcomes.items() if outcome is not None},
    )


def read_chips(
    chips: Sequence[tuple[Chip, Callable[[Chip], Result] | None]], *, verify: bool
) -> list[Outcome[Result]]:
    """Read chips of an exposure, each with its work; parameters as for `read_chip`."""
    return [read_chip(chip, work, verify=verify) for chip, work in chips]


def read_chip(
    chip: Chip, work: Callable[[Chip], Result] | None, *, verify: bool = False
) -> Outcome[Result]:
    """Read a chip; without work, only hash its pixels. With `verify`, check DATASUM."""
    try:
        return Outcome(
            result=work(chip) if work else None,
            pixel_hash="" if work else hash_of(chip),
            wrong_sums=tuple(wrong_sums(chip)) if verify else (),
        )
    except InputError as error:
        return Outcome(problems=error.problems)
