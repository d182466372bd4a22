"""One run: exposures to masks. Orchestration only; no arithmetic, no printing."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from staticmask_cli.accumulate import MaskAccumulator
from staticmask_cli.chips import Chip, open_exposure
from staticmask_cli.errors import InputError, OutputError, printable
from staticmask_cli.exposures import read_association
from staticmask_cli.inputs import resolve
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.measure import Measured, measure, unmeasured
from staticmask_cli.naming import documented_name, mask_names
from staticmask_cli.output import mask_hdus, other_identity
from staticmask_cli.records import ChipRecord
from staticmask_cli.report import MaskReport, Report, chip_line
from staticmask_cli.settings import Settings
from staticmask_cli.writing import folder_problems, write_masks

log = logging.getLogger(__name__)

#: Called with the exposures that are done and how many there are in all.
Progress = Callable[[int, int], None]

# Exposures that may be under way beyond one for each worker: enough that none
# waits for headers, few enough that memory does not grow with their number.
_AHEAD = 2


@dataclass(slots=True)
class _Gathered:
    """What belongs to one identity."""

    mask: MaskAccumulator
    records: list[ChipRecord] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        self.records.append(measured.record)
        if measured.bad is not None:
            self.mask.add(measured.bad)


def make_masks(
    settings: Settings,
    *,
    dry_run: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Report:
    """Make one static mask for every detector chip in the exposures.

    Parameters
    ----------
    settings : Settings
        What to do.
    dry_run : bool
        Whether to stop short of reading pixels and of writing.
    executor : Executor, optional
        Does the measuring in place of threads of our own; it is not shut
        down. ``settings.jobs`` still tells how much it is given at a time.
    progress : callable, optional
        Told after each exposure how many are done.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        Everything that is wrong with the exposures; nothing was written.
    OutputError
        If a mask cannot be written.
    """
    if not settings.static:
        return _told(Report(settings=settings, warnings=("static is off: no mask is made",)))
    folder = Path(settings.output_dir)
    paths, problems = resolve(settings.input, read_association)
    notes: list[str] = _both_calibrations(paths)
    closed = [] if dry_run else folder_problems(folder)
    with _workers(settings, executor) as workers:
        measures = None if dry_run or closed else workers
        gathered = _gather(paths, settings, measures, problems, notes, progress)
    if problems:
        raise InputError(*problems, *closed)
    if closed:
        raise OutputError(*closed)
    notes += _told_chips(gathered)
    made = {i: g for i, g in gathered.items() if any(r.used or r.nbins for r in g.records)}
    if not made:
        raise InputError(*notes, "no exposure is left to make a mask of; see --include-empty")
    names = _names(list(made), folder, settings.prefix, notes)
    if not dry_run:
        files = [
            (folder / names[i], partial(mask_hdus, g.mask, i, g.records, settings))
            for i, g in made.items()
        ]
        write_masks(files, _jobs(settings))
    masks = [
        MaskReport(
            path=os.path.join(settings.output_dir, names[i]),  # noqa: PTH118 - as the user wrote it
            identity=i,
            chips=tuple(g.records),
            bad=None if dry_run else g.mask.bad,
        )
        for i, g in made.items()
    ]
    return _told(
        Report(
            settings=settings,
            masks=tuple(sorted(masks, key=lambda mask: mask.path)),
            warnings=tuple(notes),
            dry_run=dry_run,
        )
    )


def _told(report: Report) -> Report:
    for warning in report.warnings:
        log.warning("%s", warning)
    return report


def _told_chips(gathered: Mapping[ChipIdentity, _Gathered]) -> list[str]:
    """Log what was measured, and return what a user should know of single chips."""
    records = sorted(
        (record for g in gathered.values() for record in g.records),
        key=lambda record: (record.file, record.extver),
    )
    for record in records:
        log.info("%s", chip_line(record))
    return [f"{printable(r.file)}: SCI,{r.extver}: {r.reason}" for r in records if r.reason]


@contextmanager
def _workers(settings: Settings, executor: Executor | None) -> Iterator[Executor]:
    """Lend an executor; our own ends at once if the run does, what waits being dropped."""
    if executor is not None:
        yield executor
        return
    threads = ThreadPoolExecutor(_jobs(settings), thread_name_prefix="staticmask")
    try:
        yield threads
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _jobs(settings: Settings) -> int:
    if settings.jobs:
        return settings.jobs
    if hasattr(os, "sched_getaffinity"):  # the cores that a batch system gave us
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gather(
    paths: Sequence[Path],
    settings: Settings,
    workers: Executor | None,
    problems: list[str],
    notes: list[str],
    progress: Progress | None,
) -> dict[ChipIdentity, _Gathered]:
    """Measure all chips and add up those of each identity.

    `problems` grows by everything that is wrong with an exposure, `notes` by
    what a user should know of it. While
    workers measure chips, the headers of the next exposures are read here.
    Once there is a problem, only arrays that may hide another are still read.
    """
    gathered: dict[ChipIdentity, _Gathered] = {}
    ahead: deque[list[tuple[Chip, Future[Measured] | None]]] = deque()
    done = 0

    def collect() -> None:
        nonlocal done
        for chip, future in ahead.popleft():
            try:
                measured = future.result() if future else unmeasured(chip)
            except InputError as error:
                problems.extend(p for p in error.problems if p not in problems)
                continue
            of_one = gathered.get(chip.identity)
            if of_one is None:
                of_one = gathered[chip.identity] = _Gathered(MaskAccumulator(chip.identity.shape))
            of_one.add(measured)
        done += 1
        if progress:
            progress(done, len(paths))

    for path in paths:
        chips: tuple[Chip, ...] = ()
        try:
            exposure = open_exposure(path, settings)
            chips = exposure.chips
            notes += exposure.notes
        except InputError as error:
            problems += error.problems
        ahead.append(
            [
                (
                    chip,
                    workers.submit(measure, chip, settings.static_sig)
                    if workers and not chip.left_out and not (problems and chip.is_plain)
                    else None,
                )
                for chip in chips
            ]
        )
        if len(ahead) > _jobs(settings) + _AHEAD:
            collect()
    while ahead:
        collect()
    return gathered


def _both_calibrations(paths: Sequence[Path]) -> list[str]:
    """Warn of exposures that come with and without correction for CTE: twice the same pixels."""
    stems = {path.name.removesuffix(".gz").removesuffix(".fz") for path in paths}
    return [
        f"{printable(stem)} and {printable(stem.replace('_flc.', '_flt.'))} are the same exposure, "
        "calibrated in two ways; give one of them"
        for stem in sorted(stems)
        if "_flc." in stem and stem.replace("_flc.", "_flt.") in stems
    ]


def _names(
    identities: Sequence[ChipIdentity], folder: Path, prefix: str | None, notes: list[str]
) -> dict[ChipIdentity, str]:
    """Name the masks; `notes` grows by a warning for every name that is not the documented one."""
    taken = {i: other_identity(folder / documented_name(i, prefix), i) for i in identities}
    names = mask_names(taken, prefix)
    for identity, name in names.items():
        documented = documented_name(identity, prefix)
        if name == documented:
            continue
        reason = "another region has the same documented name"
        if taken[identity] is not None:
            reason = f"that file is the mask of {taken[identity]}"
        elif os.path.lexists(folder / documented):
            reason += "; the older mask of that name is left as it is"
        notes.append(f"{name} is the mask of {identity}, not {documented}: {reason}")
        if (other := other_identity(folder / name, identity)) is not None:
            raise OutputError(f"{printable(folder / name)}: is the mask of {other}; move it away")
    if len(set(names.values())) < len(names):
        raise OutputError("two chips would get the same mask file; use different folders")
    return names
