"""The loop over exposures, by which every command reads them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar, cast

from staticmask_cli.errors import InputError, StaticMaskError, printable
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.fits_files import read_association
from staticmask_cli.exposures.inputs import resolve
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.opening import FilePath, exists
from staticmask_cli.exposures.products import best_first
from staticmask_cli.exposures.urls import Url
from staticmask_cli.masking.engines import Engine, engine_of
from staticmask_cli.masking.measure import unmeasured
from staticmask_cli.masking.worker import Opened, Outcome, open_exposure, read_chips
from staticmask_cli.masks.duplicates import Duplicates, problem
from staticmask_cli.masks.existing import REDO, ExistingMasks
from staticmask_cli.masks.records import ChipRecord, Records, same_pixels
from staticmask_cli.reports.report import ExposureReport, ExposureState, RunRecord
from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)

#: Called with the number of exposures that are done and the number in all.
Progress = Callable[[int, int], None]


class HasRecord(Protocol):
    """The result of a worker for one chip."""

    @property
    def record(self) -> ChipRecord:
        """The statistics of the chip."""


Result = TypeVar("Result", bound=HasRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipResult(Generic[Result]):
    """The result for one chip.

    Attributes
    ----------
    chip : Chip
        The chip.
    state : ExposureState
        Its state.
    record : ChipRecord
        Its statistics, or the reason why it was not measured.
    superseded : ChipRecord or None
        The record in the existing mask that `record` replaces.
    is_known : bool
        Whether `record` is from the existing mask.
    result : object or None
        The worker's result, if the chip was read, is used and is not a copy.
    """

    chip: Chip
    state: ExposureState
    record: ChipRecord
    superseded: ChipRecord | None = None
    is_known: bool = False
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureResult(Generic[Result]):
    """The result for one exposure; if it has any problem, none of its chips is used.

    Attributes
    ----------
    name : str
        The file, as given or found.
    problems : tuple of str
        Its problems, one line each.
    chips : tuple of ChipResult
        Its chips; empty if it could not be opened.
    failure : ChipRecord or None
        The record of an exposure that could not be opened, which all masks list.
    """

    name: str
    problems: tuple[str, ...] = ()
    chips: tuple[ChipResult[Result], ...] = ()
    failure: ChipRecord | None = None

    @property
    def report(self) -> ExposureReport:
        """The report of the exposure."""
        states = [chip.state for chip in self.chips]
        return ExposureReport(
            path=self.name,
            state=next((s for s in ExposureState if s in states), ExposureState.FAILED),
            reasons=self.problems,
            chips=tuple((one.chip.identity, one.record) for one in self.chips),
        )


@dataclass(frozen=True, slots=True)
class _Task(Generic[Result]):
    """A chip in progress: its record in the existing mask, and its outcome.

    The outcome is None if the chip is not read. If a worker reads it together with
    other chips, `place` is its place among them.
    """

    chip: Chip
    known: ChipRecord | None
    outcome: Outcome[Result] | None = None
    future: Future[list[Outcome[Result]]] | None = None
    place: int = 0


@dataclass(slots=True)
class _UnderWay(Generic[Result]):
    """An exposure in progress: first it is opened, then its chips have tasks.

    `n_awaited` is the number of tasks of workers for which it waits.
    """

    path: FilePath
    splits: bool
    opening: Future[Opened[Result]] | None = None
    is_postponed: bool = False
    problems: tuple[str, ...] = ()
    tasks: tuple[_Task[Result], ...] | None = None
    n_awaited: int = 0

    @property
    def is_done(self) -> bool:
        return self.tasks is not None and not self.n_awaited


class ExposureLoop(Generic[Result]):
    """One pass through the exposures.

    Parameters
    ----------
    settings : Settings
        The exposures and extensions to use.
    work : callable or None
        Reads a chip; called in a worker, which may be another process. None if no
        pixels are read.
    engine : Engine
        Opens exposures and runs `work`.
    run_record : RunRecord
        Receives a report of every exposure, and warnings.
    existing : ExistingMasks, optional
        The existing masks, if exposures are added to them.
    any_flags : bool
        As for `open_exposure`.
    folder : Path, optional
        The user's working folder, to which paths are relative, if it is not this process's.
    is_lost : bool
        Whether the run will fail because of other exposures.

    Attributes
    ----------
    problems : tuple of str
        The problems of all exposures, one line each.
    reasons : list of str
        Why chips are not used, one line each.
    absent : list of tuple
        Exposures that do not exist for a worker, with its host; see `check_folders`.
    """

    def __init__(
        self,
        settings: Settings,
        work: Callable[[Chip], Result] | None,
        engine: Engine,
        run_record: RunRecord,
        *,
        existing: ExistingMasks | None = None,
        any_flags: bool = False,
        folder: Path | None = None,
        is_lost: bool = False,
    ) -> None:
        self.reasons: list[str] = []
        self.absent: list[tuple[FilePath, str]] = []
        self._problems: dict[str, None] = {}  # each once, in the order in which it was found
        self._folder = folder
        self._was_lost = is_lost
        self._settings = settings
        self._work = work
        self._engine = engine
        self._futures: dict[Future[Any], _UnderWay[Result]] = {}
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._n_pending = 0  # exposures that wait for a worker
        self._run_record = run_record
        self._existing = existing
        self._open = partial(
            open_exposure,
            settings=replace(settings, input=()),  # may list very many files
            work=None if existing else work,  # which chips to read depends on the masks
            any_flags=any_flags,
        )
        self._duplicates = Duplicates(allow=settings.allow_duplicates)
        self._identities: set[ChipIdentity] = set()

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of all exposures, one line each."""
        return tuple(self._problems)

    def no_usable_exposure(self) -> InputError:
        """Return the error that no exposure can be used, with the reasons."""
        hint = "" if self._problems else "; see --include-empty"
        return InputError(*self._problems, *self.reasons, f"no exposure is left to use{hint}")

    def run(
        self,
        paths: Sequence[FilePath],
        unresolved: Mapping[str, str],
        progress: Progress | None = None,
    ) -> Iterator[ExposureResult[Result]]:
        """Read all exposures, several chips at a time, and yield them in the order of the paths.

        Two kinds of exposures are moved to the end: less corrected calibrations, and
        those of which an existing mask has another version. The results do not
        depend on which chip is measured first.

        Parameters
        ----------
        paths : sequence of Path or Url
            The exposures.
        unresolved : mapping of str to str
            One line for each input that cannot be used, with the input as value.
        progress : callable, optional
            Called after each exposure.

        Raises
        ------
        StaticMaskError
            If a worker was killed.
        """
        for line, name in unresolved.items():
            path = Path(name)
            failure = self._failure(path, path.name, 0, [line])
            yield self._reported(ExposureResult(name=name, problems=(line,), failure=failure))
        # Results are released at once: those of large chips take a megabyte each.
        n_done = 0  # enumerate() would keep the last result
        for result in map(self._exposure_result, self._in_order(best_first(paths))):
            yield self._reported(result)
            del result
            n_done += 1  # noqa: SIM113 - see above
            if progress:
                progress(n_done, len(paths))

    def _in_order(self, paths: Sequence[FilePath]) -> Iterator[_UnderWay[Result]]:
        """Keep the workers busy and yield exposures that are done, in order.

        A worker is given an exposure at a time; only the last ones, too few for all
        workers, are divided into chips. A slow exposure blocks no worker until many
        others wait behind it; this limits memory.
        """
        whole = len(paths) // self._engine.n_workers * self._engine.n_workers
        waiting: deque[_UnderWay[Result]] = deque(
            _UnderWay(path, splits=number >= whole) for number, path in enumerate(paths)
        )
        ahead: deque[_UnderWay[Result]] = deque()
        to_continue: deque[_UnderWay[Result]] = deque()
        try:
            while waiting or ahead:
                # In order, because each record of a mask matches one exposure.
                while to_continue and not to_continue[0].n_awaited:
                    opened = to_continue.popleft()
                    self._continue(opened)
                    if opened.tasks is None:
                        ahead.remove(opened)
                        waiting.append(opened)
                if ahead and ahead[0].is_done:
                    yield ahead.popleft()
                elif waiting and not self._is_full(len(ahead)):
                    one = waiting.popleft()
                    self._begin(one)
                    ahead.append(one)
                    to_continue.append(one)
                elif ahead:
                    self._wait_for_any()
        finally:
            for future in self._futures:
                future.cancel()

    def _is_full(self, n_open: int) -> bool:
        """Return whether no further exposure should be opened yet."""
        n_pending = self._n_pending
        return n_pending > 0 and (n_pending >= self._engine.n_busy or n_open >= self._engine.n_open)

    def _wait_for_any(self) -> None:
        """Wait until a task is done."""
        one = self._futures.pop(self._engine.wait(self._done))
        one.n_awaited -= 1
        self._n_pending -= not one.n_awaited

    def _submit(self, one: _UnderWay[Result], task: Callable[..., Any], *a: Any, **k: Any) -> Any:
        """Have a worker do a task of an exposure."""
        future = self._engine.submit(one.path, task, *a, **k)
        self._futures[future] = one
        self._n_pending += not one.n_awaited
        one.n_awaited += 1
        future.add_done_callback(self._done.put)  # without `one`: futures keep their callbacks
        return future

    def _begin(self, one: _UnderWay[Result]) -> None:
        """Have a worker open an exposure, unless that was done before it was postponed."""
        if one.opening is None:
            skip_plain = one.splits or self.is_lost
            one.opening = self._submit(
                one, self._open, self._absolute(one.path), skip_plain=skip_plain
            )

    def _continue(self, one: _UnderWay[Result]) -> None:
        """Give an opened exposure its tasks; none yet if it is to be postponed."""
        opening = cast(Future[Opened[Result]], one.opening)
        opened: Opened[Result] = self._engine.result(one.path, opening)
        if opened.host:
            self.absent.append((self._absolute(one.path), opened.host))
            if self._folder is None:
                check_folders(self.absent)
        existing = self._existing
        pairs = [(chip, existing.known(chip) if existing else None) for chip in opened.chips]
        is_new_version = any(
            known is None and existing is not None and existing.former(chip)
            for chip, known in pairs
        )
        if is_new_version and not one.is_postponed:
            # Another file may match the record in the mask that has its name.
            one.is_postponed = True
            return
        for note in opened.notes:
            self._run_record.warn(f"{one.path}: {note}", kind=note)
        for chip, known in pairs:
            if existing and known is not None:
                existing.take(chip.identity, known)
        one.problems = opened.problems
        one.tasks = tuple(self._tasks(one, opened, pairs))

    def _tasks(
        self,
        one: _UnderWay[Result],
        opened: Opened[Result],
        pairs: Sequence[tuple[Chip, ChipRecord | None]],
    ) -> Iterator[_Task[Result]]:
        """Yield a task for each chip of an exposure; have workers read what is left to read."""
        verify = self._existing is not None and self._settings.verify
        unread = [
            (chip, self._work if known is None else None)
            for chip, known in pairs
            if chip not in opened.outcomes and self._is_wanted(chip, known)
        ]
        step = 1 if one.splits else max(1, len(unread))
        futures: dict[Chip, tuple[Future[list[Outcome[Result]]], int]] = {}
        for start in range(0, len(unread), step):
            some = unread[start : start + step]
            reading = self._submit(one, read_chips, some, verify=verify)
            futures |= {chip: (reading, place) for place, (chip, _) in enumerate(some)}
        for chip, known in pairs:
            future, place = futures.get(chip, (None, 0))
            yield _Task(chip, known, opened.outcomes.get(chip), future, place)

    def add_part(
        self, exposures: Iterable[ExposureReport], problems: Iterable[str], reasons: Iterable[str]
    ) -> None:
        """Add the results of a loop over other exposures."""
        self._problems |= dict.fromkeys(problems)
        self.reasons += reasons
        self._run_record.exposures += exposures

    def register(self, identity: ChipIdentity, records: Records) -> None:
        """Register chips of other exposures, of which further ones may be copies."""
        self._duplicates.register_mask(identity, records)

    def _is_wanted(self, chip: Chip, known: ChipRecord | None) -> bool:
        """Return whether a chip is to be read."""
        if self._work is None or chip.skipped or (self.is_lost and chip.is_plain):
            return False
        return known is None or self._settings.verify

    @property
    def is_lost(self) -> bool:
        """Whether the run will fail, so that chips are only read if that may reveal a problem."""
        if self._was_lost or (self._existing and self._existing.problems):
            return True
        return bool(self._problems) and not self._settings.keep_going

    def _reported(self, exposure: ExposureResult[Result]) -> ExposureResult[Result]:
        """Report an exposure."""
        self._problems |= dict.fromkeys(exposure.problems)
        self._run_record.exposures.append(exposure.report)
        if not exposure.problems:
            for one in exposure.chips:
                if one.record.reason:
                    self.reasons.append(f"{exposure.name}: {one.chip.name}: {one.record.reason}")
                    self._run_record.warn(self.reasons[-1], kind=one.record.reason)
        return exposure

    def _exposure_result(self, exposure: _UnderWay[Result]) -> ExposureResult[Result]:
        """Return the result of an exposure; if it has any problem, all its chips fail."""
        path = exposure.path
        tasks = exposure.tasks or ()
        problems = dict.fromkeys(self._as_named(path, line) for line in exposure.problems)
        results: list[ChipResult[Result] | None] = []
        for task in tasks:
            outcome = _outcome(path, task, self._engine)
            problems |= dict.fromkeys(self._as_named(path, line) for line in outcome.problems)
            one = None
            if not outcome.problems:
                try:
                    one = self._result_of(path, task, outcome)
                except ValueError as error:
                    problems |= {problem(path, task.chip.name, error): None}
            results.append(one)
        lines = tuple(problems)
        return ExposureResult(
            name=str(path),
            problems=lines,
            chips=tuple(
                one if one is not None and not lines else self._failed(path, task, one, lines)
                for task, one in zip(tasks, results, strict=True)
            ),
            failure=None if tasks else self._failure(path, path.name, 0, lines),
        )

    def _failed(
        self,
        path: FilePath,
        task: _Task[Result],
        one: ChipResult[Result] | None,
        lines: Sequence[str],
    ) -> ChipResult[Result]:
        """Undo the registration of a chip whose exposure cannot be used."""
        chip = task.chip
        record = self._failure(path, chip.file, chip.extver, lines)
        if task.known is not None:
            record = task.known  # it stays in the mask
        elif one is not None:
            self._duplicates.drop(chip.identity, one.record)
            if self._existing and one.superseded is not None:
                self._existing.give_back(chip.identity, one.superseded)
        is_known = task.known is not None
        return ChipResult(chip=chip, state=ExposureState.FAILED, record=record, is_known=is_known)

    def _result_of(
        self, path: FilePath, task: _Task[Result], outcome: Outcome[Result]
    ) -> ChipResult[Result]:
        """Return the result of a chip: new, known to the mask, skipped or a duplicate.

        Raises
        ------
        ValueError
            If it contradicts its record in the mask, or another chip.
        """
        self._register_existing(task.chip.identity)
        for name in outcome.wrong_sums:
            self._run_record.warn(
                f"{path}: {name}: the data do not match DATASUM; the file may be damaged",
                kind="DATASUM",
            )
        if task.known is not None:
            if outcome.pixel_hash and outcome.pixel_hash != task.known.pixel_hash:
                raise ValueError(f"its pixels differ from those in the mask; {REDO}")
            state = ExposureState.VERIFIED if outcome.pixel_hash else ExposureState.KNOWN
            return ChipResult(chip=task.chip, state=state, record=task.known, is_known=True)
        return self._result_of_new(path, task.chip, outcome.result)

    def _result_of_new(
        self, path: FilePath, chip: Chip, result: Result | None
    ) -> ChipResult[Result]:
        """Return the result of a chip whose name and headers are not in the existing mask."""
        identity = chip.identity
        former = self._existing.former(chip) if self._existing else ()
        was_used = any(old.used for old in former)
        record = result.record if result else unmeasured(chip)
        if chip.skipped:
            if was_used:
                raise ValueError(f"was added to the mask, but now {chip.skipped}; {REDO}")
            return ChipResult(chip=chip, state=ExposureState.SKIPPED, record=record)
        same = next((old for old in former if old.pixel_hash == record.pixel_hash), None)
        if self._existing and same is not None:
            self._existing.take(identity, same)
            return ChipResult(
                chip=chip, state=ExposureState.VERIFIED, record=record, superseded=same
            )
        if result is not None and was_used:
            raise ValueError(
                f"has changed since it was added to the mask: its pixels or flags differ; {REDO}"
            )
        original = self._duplicates.original(identity, record)
        if original is not None:
            record = replace(record, used=False, reason=same_pixels(original))
            return ChipResult(chip=chip, state=ExposureState.DUPLICATE, record=record)
        if result is None and former:  # in a dry run: most likely its header alone has changed
            record = replace(record, used=False)
        self._duplicates.register(identity, record, str(path))
        state = ExposureState.NOT_READ if result is None else ExposureState.READ
        return ChipResult(chip=chip, state=state, record=record, result=result)

    def _absolute(self, path: FilePath) -> FilePath:
        """Return the path that workers use."""
        return (
            path.absolute()
            if isinstance(path, Url) or self._folder is None
            else self._folder / path
        )

    def _as_named(self, path: FilePath, problem: str) -> str:
        """Replace the absolute path of an exposure's folder, which workers use, by the user's."""
        rest = problem.removeprefix(_folder(self._absolute(path)))
        return problem if rest == problem else _folder(path) + rest

    def _failure(
        self, path: FilePath, file: str, extver: int, problems: Sequence[str]
    ) -> ChipRecord:
        """Return the record of a chip, or of a whole exposure, that cannot be used."""
        reasons = "; ".join(printable(p).removeprefix(f"{printable(path)}: ") for p in problems)
        # A mask records no folders: the exposures may move.
        reasons = reasons.replace(_folder(self._absolute(path)), "")
        return ChipRecord(file=file, extver=extver, reason=f"skipped: {reasons}")

    def _register_existing(self, identity: ChipIdentity) -> None:
        """Register the chips of an identity's existing mask, the first time it is needed."""
        if self._existing and identity not in self._identities:
            self._duplicates.register_mask(identity, self._existing.records(identity))
        self._identities.add(identity)


def check_folders(absent: Iterable[tuple[FilePath, str]]) -> None:
    """Check that exposures that do not exist for a worker do not exist here either.

    Raises
    ------
    StaticMaskError
        If one exists.
    """
    for path, host in absent:
        if exists(path):
            raise StaticMaskError(
                f"{path}: exists, but not for the worker on {host}; "
                "give all workers the same folders"
            )


def sort_reports(run_record: RunRecord, paths: Iterable[FilePath]) -> None:
    """Sort the reports of exposures in the order of their paths, after those without."""
    places = {str(path): number for number, path in enumerate(paths)}
    run_record.exposures.sort(key=lambda exposure: places.get(exposure.path, -1))


def _folder(path: FilePath) -> str:
    """Return the folder of a file as it begins its name in messages."""
    return printable(str(path).removesuffix(path.name))


def _outcome(path: FilePath, task: _Task[Result], engine: Engine) -> Outcome[Result]:
    """Return the outcome of a chip; an empty one if it is not read."""
    if task.future is not None:
        outcome: Outcome[Result] = engine.result(path, task.future)[task.place]
        return outcome
    return task.outcome or Outcome()


def read_exposures(
    settings: Settings,
    work: Callable[[Chip], Result],
    run_record: RunRecord,
    *,
    any_flags: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Iterator[ChipResult[Result]]:
    """Read all exposures of the input and yield their chips, for a task that writes nothing.

    Parameters
    ----------
    settings, work, run_record, any_flags
        As for `ExposureLoop`.
    executor : Executor, optional
        As for `engine_of`.
    progress : callable, optional
        Called after each exposure.

    Raises
    ------
    InputError
        After the last exposure: the problems of all of them, unless
        ``settings.keep_going`` is set and at least one chip was read.
    """
    paths, unresolved = resolve(settings.input, read_association)
    n_read = 0
    with engine_of(settings, executor) as engine:
        loop = ExposureLoop(settings, work, engine, run_record, any_flags=any_flags)
        for exposure in loop.run(paths, unresolved, progress):
            for one in exposure.chips:
                n_read += one.result is not None
                yield one
    sort_reports(run_record, paths)
    if loop.problems and not settings.keep_going:
        raise InputError(*loop.problems)
    if not n_read:
        raise loop.no_usable_exposure()
    log_skipped(loop.problems)


def log_skipped(problems: Iterable[str]) -> None:
    """Log the problems of exposures that were skipped."""
    for line in problems:
        log.error("%s; skipped", line)
