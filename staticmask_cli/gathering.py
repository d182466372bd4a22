"""All exposures of a run, opened, measured and added up by identity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from staticmask_cli.accumulate import MaskAccumulator
from staticmask_cli.chips import Chip, open_exposure
from staticmask_cli.errors import InputError, StaticMaskError, printable
from staticmask_cli.held import REDO
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.measure import Measured, hash_of, measure, unmeasured, wrong_sums
from staticmask_cli.records import ChipRecord
from staticmask_cli.report import ExposureReport, Journal
from staticmask_cli.settings import Settings
from staticmask_cli.updating import HeldMasks

#: Called with the exposures that are done and how many there are in all.
Progress = Callable[[int, int], None]

# Exposures that may be under way beyond one for each worker: enough that none
# waits for headers, few enough that memory does not grow with their number.
_AHEAD = 2


@dataclass(slots=True)
class Gathered:
    """What a run has of one identity.

    Attributes
    ----------
    mask : MaskAccumulator
        Bad pixels of the chips that were read.
    records : list of ChipRecord
        Those of the chips that the mask on disk does not hold.
    known : list of ChipRecord
        Those of the chips that it does.
    """

    mask: MaskAccumulator
    records: list[ChipRecord] = field(default_factory=list)
    known: list[ChipRecord] = field(default_factory=list)
    _additions: dict[int, int] = field(default_factory=dict)

    def add(self, measured: Sequence[Measured]) -> None:
        """Add those chips of one exposure that belong to this identity."""
        giving = [m for m in measured if m.bad is not None and m.record.used]
        for one in measured:
            if giving and one is giving[0]:
                number = self.mask.add(
                    [m.bad for m in giving if m.bad is not None], [m.unseen for m in giving]
                )
                self._additions[len(self.records)] = number
            self.records.append(one.record)

    def told(self) -> list[ChipRecord]:
        """Return the records, each with the pixels that its exposure alone calls bad."""
        alone = self.mask.alone()
        return [
            replace(record, alone=alone[self._additions[n]]) if n in self._additions else record
            for n, record in enumerate(self.records)
        ]

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
    """One chip under way: what a mask holds of it, what a worker will send, or neither.

    With --verify a worker also sends the arrays that do not have their DATASUM.
    """

    chip: Chip
    known: ChipRecord | None
    future: Future[Measured] | Future[str] | None
    sums: Future[list[str]] | None


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
    journal : Journal
        Learns of every exposure.

    Attributes
    ----------
    found : dict
        What belongs to each identity.
    failed : list of ChipRecord
        Exposures of which not even the identity is known: they belong to all masks.
    problems : list of str
        What is wrong with exposures, a line each.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Executor | None,
        jobs: int,
        held: HeldMasks | None,
        journal: Journal,
    ) -> None:
        self.found: dict[ChipIdentity, Gathered] = {}
        self.failed: list[ChipRecord] = []
        self.problems: list[str] = []
        self._settings = settings
        self._workers = workers
        self._jobs = jobs
        self._held = held
        self._journal = journal
        self._ahead: deque[_UnderWay] = deque()

    def run(self, paths: Sequence[Path], progress: Progress | None) -> None:
        """Gather all exposures; while workers measure some, the headers of the next are read.

        Raises
        ------
        StaticMaskError
            If a worker was killed.
        """
        for number, path in enumerate(paths):
            self._ahead.append(self._begin(path))
            if len(self._ahead) > self._jobs + _AHEAD:
                self._collect()
                if progress:
                    progress(number + 1 - len(self._ahead), len(paths))
        while self._ahead:
            self._collect()
            if progress:
                progress(len(paths) - len(self._ahead), len(paths))

    def fail(self, path: Path | str, problems: Sequence[str]) -> None:
        """Take note of an exposure that cannot be used, and of whose chips nothing is known."""
        self.problems += [p for p in problems if p not in self.problems]
        self.failed.append(_failed(str(path), Path(path).name, 0, problems))
        self._journal.exposures.append(
            ExposureReport(path=str(path), state="failed", reasons=tuple(problems))
        )

    @property
    def _is_lost(self) -> bool:
        """Whether the run will fail, so that only what may hide another problem is still read."""
        if self._held and self._held.problems:
            return True
        return bool(self.problems) and not self._settings.keep_going

    def _begin(self, path: Path) -> _UnderWay:
        try:
            exposure = open_exposure(path, self._settings)
        except InputError as error:
            return _UnderWay(path, list(error.problems), [])
        self._journal.warnings += exposure.notes
        tasks = []
        for chip in exposure.chips:
            known = self._held.known(path, chip) if self._held else None
            future = self._submitted(chip, known)
            sums = None
            if future and self._workers and self._held and self._settings.verify:
                sums = self._workers.submit(wrong_sums, chip)
            tasks.append(_Task(chip, known, future, sums))
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
        measured: list[Measured | None] = []
        for task in exposure.tasks:
            try:
                measured.append(self._result(path, task))
            except InputError as error:
                named = [_as_named(path, problem) for problem in error.problems]
                problems += [p for p in named if p not in problems]
            except BrokenExecutor:
                raise StaticMaskError(
                    f"{printable(path)}: a worker was killed while it was measured, by the system "
                    "for want of memory perhaps; nothing was written; fewer --jobs need less"
                ) from None
        self._add(exposure, measured, problems)

    def _add(
        self, exposure: _UnderWay, measured: Sequence[Measured | None], problems: list[str]
    ) -> None:
        """Add an exposure's chips to what belongs to their identities."""
        path = exposure.path
        chips = []
        new: dict[ChipIdentity, list[Measured]] = {}
        for number, task in enumerate(exposure.tasks):
            identity = task.chip.identity
            of_one = self._of(identity)
            result = None if problems else measured[number]
            if task.known is not None:
                record = task.known
                if record in of_one.known:
                    self._journal.warnings.append(
                        f"{printable(path)}: SCI,{record.extver}: has the name and the header of "
                        "another exposure of this run, and was taken for it"
                    )
                of_one.known.append(record)
            elif result is not None:
                record = result.record
                new.setdefault(identity, []).append(result)
            else:
                record = _failed(str(path), task.chip.file, task.chip.extver, problems)
                of_one.records.append(record)
            chips.append((identity, record))
        for identity, of_exposure in new.items():
            self._of(identity).add(of_exposure)
        self.problems += [p for p in problems if p not in self.problems]
        self._journal.exposures.append(
            ExposureReport(
                path=str(path),
                state=self._state(exposure, problems),
                reasons=tuple(problems),
                chips=tuple(chips),
            )
        )

    def _of(self, identity: ChipIdentity) -> Gathered:
        if identity not in self.found:
            held = self._held.held(identity) if self._held else None
            # A mask that has counts keeps them.
            counts = self._settings.keeps_counts or (held is not None and held.has_counts)
            mask = MaskAccumulator(identity.shape, self._settings.min_exposures, counts=counts)
            self.found[identity] = Gathered(mask)
        return self.found[identity]

    def _result(self, path: Path, task: _Task) -> Measured | None:
        """Wait for a chip; None if a mask holds it already."""
        result = task.future.result() if task.future else None
        for name in task.sums.result() if task.sums else ():
            self._journal.warnings.append(
                f"{printable(path)}: {printable(name)}: the data do not match DATASUM; they have "
                "changed since it was written"
            )
        if isinstance(result, Measured):
            return result
        if task.known is None:
            return unmeasured(task.chip)
        if result is not None and result != task.known.pixel_hash and self._held:
            self._held.problems.append(
                f"{printable(path)}: SCI,{task.chip.extver}: its pixels are not those that went "
                f"into the mask; {REDO}"
            )
        return None

    def _state(self, exposure: _UnderWay, problems: Sequence[str]) -> str:
        if problems:
            return "failed"
        tasks = exposure.tasks
        if all(task.known for task in tasks):
            return "verified" if any(task.future for task in tasks) else "known"
        if all(task.chip.left_out for task in tasks):
            return "left out"
        return "read" if any(task.future for task in tasks) else "not read"


def _as_named(path: Path, problem: str) -> str:
    """Name a file as the user did; workers, which may be in another folder, know its whole path."""
    rest = problem.removeprefix(printable(path.absolute()))
    return problem if rest == problem else printable(path) + rest


def _failed(path: str, file: str, extver: int, problems: Sequence[str]) -> ChipRecord:
    reasons = "; ".join(problem.removeprefix(f"{printable(path)}: ") for problem in problems)
    # A mask does not tell of folders: the exposures may move.
    reasons = reasons.replace(f"{printable(Path(path).absolute().parent)}/", "")
    return ChipRecord(file=file, extver=extver, reason=f"left out: {reasons}")
