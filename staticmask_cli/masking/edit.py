"""Changing the bad pixels of a mask of one chip into a new mask; no exposure is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import ConfigError, InputError
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.outputs import mask_name, output_files
from staticmask_cli.masking.write import put_masks
from staticmask_cli.masks.editing import (
    Edit,
    Operation,
    grown,
    with_whole_columns,
    without_gaps,
)
from staticmask_cli.masks.quality import check_quality
from staticmask_cli.masks.records import file_text
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.reports.report import MaskReport, MaskState, RunRecord
from staticmask_cli.settings import Settings
from staticmask_cli.statistics.votes import pack

# Largest value of `grow` and `fill_gaps`.
_MOST_PIXELS = 1000


class Changes(NamedTuple):
    """The changes to a mask, in the order in which they are made.

    Attributes
    ----------
    or_, and_ : sequence of str
        Masks, also imported ones and DrizzlePac's. Pixels that are bad in one of `or_`
        become bad; then pixels that are good in one of `and_` become good.
    fill_gaps : int or None
        Fill gaps of up to this many good pixels between bad ones of a column.
    fill_columns : float or None
        Make columns bad in all rows that are bad in more than this share of them.
    grow : int or None
        Make the neighbours of bad pixels bad, up to this many pixels on every side.
    """

    or_: Sequence[str] = ()
    and_: Sequence[str] = ()
    fill_gaps: int | None = None
    fill_columns: float | None = None
    grow: int | None = None

    def check(self) -> None:
        """Check the numbers, and that there is a change.

        Raises
        ------
        ConfigError
            If one is wrong, or there is none.
        """
        if not any((self.or_, self.and_)) and self[2:] == (None, None, None):
            raise ConfigError(
                "no change is given: use --or, --and, --fill-gaps, --fill-columns or --grow"
            )
        for option, number in (("--fill-gaps", self.fill_gaps), ("--grow", self.grow)):
            is_whole = isinstance(number, SupportsIndex) and not isinstance(number, bool)
            if number is not None and not (is_whole and 1 <= number <= _MOST_PIXELS):
                raise ConfigError(
                    f"{option}: {number!r} is not a number of pixels from 1 to {_MOST_PIXELS}"
                )
        share = self.fill_columns
        if share is not None and not (isinstance(share, Real) and 0 <= share < 1):
            raise ConfigError(f"--fill-columns: {share!r} is not a share from 0 to less than 1")


_Change = Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
_WithNumber = Callable[[NDArray[np.bool_], Any], NDArray[np.bool_]]


class _Step(NamedTuple):
    """One change: what it does, with what, and how it is recorded."""

    operation: Operation
    operand: str
    sha256: str
    change: _Change


def edit(
    settings: Settings, changes: Changes, *, run_record: RunRecord | None = None
) -> MaskReport:
    """Write an edited copy of a mask.

    Parameters
    ----------
    settings : Settings
        ``input`` is one mask; ``output_dir``, ``overwrite`` and ``lock_timeout`` apply, and
        the limits of the quality checks of its chips.
    changes : Changes
        The changes.
    run_record : RunRecord, optional
        Receives the mask and, as its answer, the changes.

    Returns
    -------
    MaskReport

    Raises
    ------
    ConfigError
        If there is no change, a number is wrong, or several masks are given.
    InputError
        If a mask cannot be read, or is of another chip or shape; nothing was written.
    OutputError
        If the mask exists, or cannot be written.
    """
    run_record = RunRecord() if run_record is None else run_record
    changes.check()
    found = [
        resolve_masks(entries) if entries else ([], {})
        for entries in (settings.input, changes.or_, changes.and_)
    ]
    if problems := [line for _, unresolved in found for line in unresolved]:
        raise InputError(*problems)
    (paths, or_, and_) = (some for some, _ in found)
    if len(paths) > 1:
        raise ConfigError(f"{len(paths)} masks are given to be edited; edit one at a time")
    path, mask = paths[0], StaticMask.read(paths[0])
    identity = mask.identity
    if identity is None:
        raise InputError(
            f"{path}: does not record its chip; edit a mask of this program, and give this one "
            "as --or or --and"
        )
    steps = [*_with_masks(identity, or_, and_), *_with_numbers(changes)]
    name = mask_name(path)
    made, edits = _edited(mask, steps)
    made = replace(made, quality=check_quality(name, made, settings))
    run_record.answer = [
        {"mask": name} | one._asdict() | {"operation": str(one.operation)} for one in edits
    ]
    with output_files([name], [path, *or_, *and_], settings) as before:
        (target,) = before
        report = MaskReport(
            path=str(target),
            state=MaskState.PLANNED,
            identity=identity,
            chips=made.records,
            mask=made,
        )
        put_masks({target: report}, before, jobs_of(settings), run_record)
    return run_record.masks[0]


def _with_masks(identity: ChipIdentity, or_: list[Path], and_: list[Path]) -> list[_Step]:
    """Return the changes by other masks, which must be of the same chip."""
    steps: list[_Step] = []
    problems: list[str] = []
    for operation, combine, paths in (
        (Operation.OR, np.logical_or, or_),
        (Operation.AND, np.logical_and, and_),
    ):
        for path in paths:
            try:
                other = _operand(path, identity)
            except InputError as error:
                problems += error.problems
                continue
            name = file_text(path.name)
            steps.append(_Step(operation, name, other.sha256, partial(combine, other.bad)))
    if problems:
        raise InputError(*problems)
    return steps


def _operand(path: Path, identity: ChipIdentity) -> StaticMask:
    other = StaticMask.read(path)
    if other.shape != identity.shape:
        shapes = ["x".join(map(str, shape)) for shape in (other.shape, identity.shape)]
        raise InputError(f"{path}: has {' pixels, not '.join(shapes)}")
    if other.identity not in (None, identity):
        raise InputError(f"{path}: is the mask of {other.identity}, not of {identity}")
    return other


def _with_numbers(changes: Changes) -> list[_Step]:
    """Return the changes that a number describes."""
    given: tuple[tuple[Operation, _WithNumber, float | None], ...] = (
        (Operation.FILL_GAPS, without_gaps, changes.fill_gaps),
        (Operation.FILL_COLUMNS, with_whole_columns, changes.fill_columns),
        (Operation.GROW, grown, changes.grow),
    )
    return [
        _Step(operation, f"{number:.12g}", "", _with(function, number))
        for operation, function, number in given
        if number is not None
    ]


def _with(function: _WithNumber, number: float) -> _Change:
    return lambda bad: function(bad, number)


def _edited(mask: StaticMask, steps: Iterable[_Step]) -> tuple[StaticMask, list[Edit]]:
    """Return the changed mask, and the changes with their numbers of pixels."""
    before, edits = mask.bad, []
    for operation, operand, sha256, change in steps:
        after = change(before)
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        edits.append(Edit(operation, operand, sha256, gained, lost))
        before = after
    return replace(mask, bits=pack(before), edits=(*mask.edits, *edits)), edits
