"""One reading of all exposures for a question about them: nothing is written."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.exposures.fits_files import read_association
from staticmask_cli.exposures.inputs import resolve
from staticmask_cli.exposures.products import best_first
from staticmask_cli.masking.gathering import Progress
from staticmask_cli.masking.make import workers
from staticmask_cli.masks.duplicates import Duplicates, problem
from staticmask_cli.masks.records import ChipRecord, same_pixels
from staticmask_cli.reports.report import ExposureReport, RunRecord
from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)


class HasRecord(Protocol):
    """An answer that tells which pixels it is of."""

    @property
    def record(self) -> ChipRecord:
        """What was measured on the chip."""


Answer = TypeVar("Answer", bound=HasRecord)


@dataclass(frozen=True, slots=True)
class Surveyed(Generic[Answer]):
    """One exposure: each of its chips, with what was found out about it.

    Attributes
    ----------
    path : Path
        The exposure.
    answers : list of tuple
        Each chip with the answer.
    duplicates : frozenset of int
        EXTVER of the chips whose pixels are those of a chip that came before:
        they do not count.
    """

    path: Path
    answers: list[tuple[Chip, Answer]]
    duplicates: frozenset[int]


def survey(
    settings: Settings,
    question: Callable[[Chip], Answer],
    jobs: int,
    *,
    any_flags: bool = False,
    run_record: RunRecord | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Iterator[Surveyed[Answer]]:
    """Ask every chip a question, several at a time, and yield the exposures in order.

    Parameters
    ----------
    settings : Settings
        Which exposures, and what of them.
    question : callable
        Reads a chip and answers.
    jobs : int
        Chips to read at a time.
    any_flags : bool
        As for `open_exposure`.
    run_record : RunRecord, optional
        Learns what became of every exposure.
    executor : Executor, optional
        Reads the chips in place of threads; it is not shut down.
    progress : callable, optional
        Told after each exposure how many are done.

    Raises
    ------
    InputError
        After the last exposure: all that is wrong with any, unless
        ``settings.keep_going`` and there is one without fault.
    """
    run_record = RunRecord() if run_record is None else run_record
    duplicates = Duplicates(allow=settings.allow_duplicates)
    paths, unresolved = resolve(settings.input, read_association)
    for line, name in unresolved.items():
        _fail(run_record, name, [line])
    ahead: deque[tuple[Path, list[tuple[Chip, Future[Answer]]]]] = deque()
    report_progress = progress or (lambda *_: None)
    with workers(jobs, executor) as lent:
        for number, path in enumerate(best_first(paths)):
            try:
                chips = open_exposure(path, settings, any_flags=any_flags).chips
                for chip in filter(_is_left_out, chips):
                    place = f"{path}: SCI,{chip.extver}"
                    run_record.warn(f"{place}: left out: {chip.left_out}", kind=chip.left_out)
                ahead.append((path, _asked(chips, question, lent)))
            except InputError as error:
                _fail(run_record, path, error.problems)
                report_progress(number + 1 - len(ahead), len(paths))
            while len(ahead) > (jobs if number + 1 < len(paths) else 0):
                yield from _answered(run_record, duplicates, *ahead.popleft())
                report_progress(number + 1 - len(ahead), len(paths))
    failed = [exposure for exposure in run_record.exposures if exposure.state == "failed"]
    problems = list(dict.fromkeys(reason for exposure in failed for reason in exposure.reasons))
    is_none_left = all(exposure.state != "read" for exposure in run_record.exposures)
    if problems and (is_none_left or not settings.keep_going):
        raise InputError(*problems)
    if is_none_left:
        raise InputError("no exposure is left to look at; see --include-empty")
    for line in problems:
        log.error("%s; left out", line)


def _fail(run_record: RunRecord, path: Path | str, problems: Sequence[str]) -> None:
    run_record.exposures.append(
        ExposureReport(path=str(path), state="failed", reasons=tuple(problems))
    )


def _asked(
    chips: tuple[Chip, ...],
    question: Callable[[Chip], Answer],
    threads: Executor,
) -> list[tuple[Chip, Future[Answer]]]:
    return [(chip, threads.submit(question, chip)) for chip in chips if not _is_left_out(chip)]


def _is_left_out(chip: Chip) -> bool:
    return chip.left_out is not None


def _answered(
    run_record: RunRecord,
    duplicates: Duplicates,
    path: Path,
    asked: list[tuple[Chip, Future[Answer]]],
) -> Iterator[Surveyed[Answer]]:
    """Wait for an exposure's chips; yield all of them, or if anything is wrong none."""
    problems: list[str] = []
    answers = []
    for chip, future in asked:
        try:
            answers.append((chip, future.result()))
        except InputError as error:
            problems += error.problems
    copies = {}
    for chip, answer in answers:
        place = f"{path}: SCI,{chip.extver}"
        try:
            original = duplicates.original(chip.identity, answer.record)
        except ValueError as error:
            problems += {problem(path, chip.extver, error)}.difference(problems)
            continue
        if original is None:
            duplicates.register(chip.identity, answer.record, f"{path} SCI,{chip.extver}")
        else:
            copies[chip.extver] = f"{place}: {same_pixels(original)}"
    if problems:
        for chip, answer in answers:
            duplicates.drop(chip.identity, answer.record)
        _fail(run_record, path, problems)
        return
    for warning in copies.values():
        run_record.warn(warning)
    state = "read" if answers else "left out"
    run_record.exposures.append(ExposureReport(path=str(path), state=state))
    if answers:
        yield Surveyed(path, answers, frozenset(copies))
