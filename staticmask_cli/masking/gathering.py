"""All exposures of a run, opened, measured and added up by identity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError, StaticMaskError, printable
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.products import best_first
from staticmask_cli.masking.measure import Measured, hash_of, measure, unmeasured, wrong_sums
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.duplicates import Duplicates, problem
from staticmask_cli.masks.existing import HeldMasks
from staticmask_cli.masks.held import REDO
from staticmask_cli.masks.records import ChipRecord, same_pixels
from staticmask_cli.reports.report import ExposureReport, RunRecord
from staticmask_cli.settings import Settings

#: Called with the exposures that are done and how many there are in all.
Progress = Callable[[int, int], None]

# Exposures that may be under way beyond one for each worker: enough that none
# waits for headers, few enough that memory does not grow with their number.
_AHEAD = 2

# States of chips: an exposure has the first of those that its chips have.
_STATES = ("read", "not read", "duplicate", "verified", "known", "left out")


@dataclass(slots=True)
class Gathered:
    """What a run has of one identity.

    Attributes
    ----------
    mask : MaskAccumulator
        Bad pixels of the chips that were read and count.
    records : list of ChipRecord
        Those that the existing mask does not have.
    known : list of ChipRecord
        Those that it has.
    superseded : list of ChipRecord
        Those of the existing mask in whose place records of this run come.
    """

    mask: MaskAccumulator
    records: list[ChipRecord] = field(default_factory=list)
    known: list[ChipRecord] = field(default_factory=list)
    superseded: list[ChipRecord] = field(default_factory=list)
    _additions: dict[str, int] = field(default_factory=dict)

    def add(self, measured: Measured) -> None:
        """Add the bad pixels of a chip that counts."""
        if measured.record.used:
            self._additions[measured.record.pixel_hash] = self.mask.add(
                measured.bad, measured.unseen
            )

    def alone(self) -> dict[str, NDArray[np.uint32]]:
        """Return, by their hash, the pixels that each chip alone calls bad."""
        alone = self.mask.alone()
        return {pixel_hash: alone[number] for pixel_hash, number in self._additions.items()}

    @property
    def gives_something(self) -> bool:
        """Whether any chip gives something to a mask."""
        return bool(self.known) or any(r.used or r.nbins for r in self.records)

    @property
    def has_good(self) -> bool:
        """Whether any chip's exposure is good, though it may be left out for being empty."""
        return any(not record.failed for record in self.records)


@dataclass(slots=True)
class _Task:
    """One chip under way: what the existing mask has of it, and what a worker will send.

    With --verify a worker also sends the arrays that do not have their DATASUM.
    """

    path: Path
    chip: Chip
    known: ChipRecord | None
    future: Future[Measured] | Future[str] | None
    sums: Future[list[str]] | None


@dataclass(slots=True)
class _Settled:
    """What one chip comes to: its state, as exposures have it, and what it does to the mask.

    `measured` has the bad pixels of one that counts.
    """

    state: str
    record: ChipRecord
    superseded: ChipRecord | None = None
    measured: Measured | None = None


@dataclass(slots=True)
class _UnderWay:
    path: Path
    problems: list[str]
    tasks: list[_Task]


class Gathering:
    """One pass through the exposures.

    Parameters
    ----------
    settings : Settings
        What to do.
    workers : Executor or None
        Measures chips; None if no pixel is to be read.
    jobs : int
        How many chips it measures at a time.
    held : HeldMasks or None
        The masks on disk, if exposures are added to them.
    run_record : RunRecord
        Learns of every exposure.

    Attributes
    ----------
    found : dict
        What belongs to each identity.
    failed : list of ChipRecord
        Exposures of which not even the identity is known: they belong to all masks.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Executor | None,
        jobs: int,
        held: HeldMasks | None,
        run_record: RunRecord,
    ) -> None:
        self.found: dict[ChipIdentity, Gathered] = {}
        self.failed: list[ChipRecord] = []
        self._problems: dict[str, None] = {}  # each once, in the order in which it was found
        self._settings = settings
        self._workers = workers
        self._jobs = jobs
        self._held = held
        self._journal = run_record
        self._duplicates = Duplicates(allow=settings.allow_duplicates)
        self._ahead: deque[_UnderWay] = deque()

    def run(self, paths: Sequence[Path], progress: Progress | None) -> None:
        """Gather all exposures; while workers measure some, the headers of the next are read.

        Raises
        ------
        StaticMaskError
            If a worker was killed.
        """
        doubtful: list[Path] = []
        done = 0
        order = chain(((path, False) for path in best_first(paths)), ((p, True) for p in doubtful))
        for path, is_last in order:
            exposure = self._begin(path, is_last=is_last)
            if exposure is None:
                # Whether its name in the mask is another file's shows when all were looked at.
                doubtful.append(path)
                continue
            self._ahead.append(exposure)
            if len(self._ahead) > self._jobs + _AHEAD:
                self._collect()
                done += 1
                if progress:
                    progress(done, len(paths))
        while self._ahead:
            self._collect()
            done += 1
            if progress:
                progress(done, len(paths))
        places = {str(path): number for number, path in enumerate(paths)}
        self._journal.exposures.sort(key=lambda exposure: places.get(exposure.path, -1))

    def fail(self, path: Path | str, problems: Sequence[str]) -> None:
        """Take note of an exposure that cannot be used, and of whose chips nothing is known."""
        self._problems |= dict.fromkeys(problems)
        self.failed.append(_failed(str(path), Path(path).name, 0, problems))
        self._journal.exposures.append(
            ExposureReport(path=str(path), state="failed", reasons=tuple(problems))
        )

    @property
    def problems(self) -> list[str]:
        """What is wrong with exposures, a line each."""
        return list(self._problems)

    @property
    def _is_lost(self) -> bool:
        """Whether the run will fail, so that only what may hide another problem is still read."""
        if self._held and self._held.problems:
            return True
        return bool(self._problems) and not self._settings.keep_going

    def _begin(self, path: Path, *, is_last: bool) -> _UnderWay | None:
        """Open an exposure and have it measured; None if it should be looked at last."""
        try:
            exposure = open_exposure(path, self._settings)
        except InputError as error:
            return _UnderWay(path, list(error.problems), [])
        matches = [self._held.known(chip) if self._held else None for chip in exposure.chips]
        if self._held and not is_last:
            pairs = zip(exposure.chips, matches, strict=True)
            if any(known is None and self._held.former(chip) for chip, known in pairs):
                return None
        self._journal.warnings += exposure.notes
        tasks = []
        for chip, known in zip(exposure.chips, matches, strict=True):
            if self._held and known is not None:
                self._held.take(chip.identity, known)
            future = self._submitted(chip, known)
            sums = None
            if future and self._workers and self._held and self._settings.verify:
                sums = self._workers.submit(wrong_sums, chip)
            tasks.append(_Task(path, chip, known, future, sums))
        return _UnderWay(path, [], tasks)

    def _submitted(
        self, chip: Chip, known: ChipRecord | None
    ) -> Future[Measured] | Future[str] | None:
        if self._workers is None or chip.left_out or (self._is_lost and chip.is_plain):
            return None
        if known is None:
            return self._workers.submit(measure, chip, self._settings.static_sig)
        return self._workers.submit(hash_of, chip) if self._settings.verify else None

    def _collect(self) -> None:
        """Add the oldest exposure under way: all of it, or if anything is wrong none of it."""
        exposure = self._ahead.popleft()
        path, problems = exposure.path, exposure.problems
        if not exposure.tasks:
            self.fail(path, problems)
            return
        settled: list[_Settled | None] = []
        for task in exposure.tasks:
            one = None
            try:
                one = self._settle(task, self._result(path, task))
            except InputError as error:
                named = [_as_named(path, problem) for problem in error.problems]
                problems += [p for p in named if p not in problems]
            except ValueError as error:
                problems += {problem(path, task.chip.extver, error)}.difference(problems)
            except BrokenExecutor:
                raise StaticMaskError(
                    f"{path}: a worker was killed while it was measured, by the system "
                    "for want of memory perhaps; nothing was written; fewer --jobs need less"
                ) from None
            settled.append(one)
        self._add(exposure, settled, problems)

    def _add(
        self, exposure: _UnderWay, settled: Sequence[_Settled | None], problems: Sequence[str]
    ) -> None:
        """Add an exposure's chips to what belongs to their identities."""
        path = exposure.path
        chips = []
        for task, one in zip(exposure.tasks, settled, strict=True):
            chip, of_one = task.chip, self._of(task.chip.identity)
            if task.known is not None:
                record = task.known
                of_one.known.append(record)
            elif problems or one is None:
                if one is not None:
                    self._duplicates.drop(chip.identity, one.record)
                    if self._held and one.superseded is not None:
                        self._held.give_back(chip.identity, one.superseded)
                record = _failed(str(path), chip.file, chip.extver, problems)
                of_one.records.append(record)
            else:
                record = one.record
                of_one.records.append(record)
                if one.superseded is not None:
                    of_one.superseded.append(one.superseded)
                if one.measured is not None:
                    of_one.add(one.measured)
            chips.append((chip.identity, record))
        self._problems |= dict.fromkeys(problems)
        states = {one.state for one in settled if one is not None}
        self._journal.exposures.append(
            ExposureReport(
                path=str(path),
                state="failed" if problems else next(s for s in _STATES if s in states),
                reasons=tuple(problems),
                chips=tuple(chips),
            )
        )

    def _settle(self, task: _Task, result: Measured | None) -> _Settled:
        """Find out what a chip is to the mask.

        Raises
        ------
        ValueError
            If it contradicts what the mask has of its exposure, or another chip.
        """
        chip = task.chip
        identity = chip.identity
        self._of(identity)  # so that what counts in the existing mask is registered
        if task.known is not None:
            return _Settled("verified" if task.future else "known", task.known)
        former = self._held.former(chip) if self._held else ()
        record = result.record if result else unmeasured(chip)
        if chip.left_out:
            if any(old.used for old in former):
                raise ValueError(f"was added to the mask, but now {chip.left_out}; {REDO}")
            return _Settled("left out", record)
        same = next((old for old in former if old.pixel_hash == record.pixel_hash), None)
        if self._held and same is not None:
            self._held.take(identity, same)
            return _Settled("verified", record, same)
        if result is not None and any(old.used for old in former):
            raise ValueError(
                f"has changed since it was added to the mask: its pixels or flags differ; {REDO}"
            )
        original = self._duplicates.original(identity, record)
        if original is not None:
            record = replace(record, used=False, reason=same_pixels(original))
            return _Settled("duplicate", record)
        if result is None and former:  # in a dry run: most likely its header alone has changed
            record = replace(record, used=False)
        self._duplicates.register(identity, record, f"{task.path} SCI,{chip.extver}")
        return _Settled("not read" if result is None else "read", record, measured=result)

    def _of(self, identity: ChipIdentity) -> Gathered:
        if identity not in self.found:
            held = self._held.held(identity) if self._held else None
            # A mask that has counts keeps them.
            counts = self._settings.keeps_counts or (held is not None and held.has_counts)
            mask = MaskAccumulator(identity.shape, self._settings.min_exposures, counts=counts)
            self.found[identity] = Gathered(mask)
            for record in held.records if held else ():
                self._duplicates.register(identity, record, record.name)
        return self.found[identity]

    def _result(self, path: Path, task: _Task) -> Measured | None:
        """Wait for a chip; None if the existing mask has it or it is not to be read."""
        result = task.future.result() if task.future else None
        for name in task.sums.result() if task.sums else ():
            self._journal.warnings.append(
                f"{path}: {name}: the data do not match DATASUM; they have "
                "changed since it was written"
            )
        if isinstance(result, Measured):
            return result
        if task.known is not None and result is not None and result != task.known.pixel_hash:
            raise InputError(
                f"{path}: SCI,{task.chip.extver}: its pixels are not those that went "
                f"into the mask; {REDO}"
            )
        return None


def _as_named(path: Path, problem: str) -> str:
    """Name a file as the user did; workers, which may be in another folder, know its whole path."""
    rest = problem.removeprefix(printable(path.absolute()))
    return problem if rest == problem else printable(path) + rest


def _failed(path: str, file: str, extver: int, problems: Sequence[str]) -> ChipRecord:
    reasons = "; ".join(printable(p).removeprefix(f"{printable(path)}: ") for p in problems)
    # A mask does not tell of folders: the exposures may move.
    reasons = reasons.replace(f"{printable(Path(path).absolute().parent)}/", "")
    return ChipRecord(file=file, extver=extver, reason=f"left out: {reasons}")
