"""One run: exposures to masks. Orchestration only; no arithmetic, no printing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.fits_files import read_association
from staticmask_cli.exposures.inputs import resolve
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.files.atomic import folder_problems
from staticmask_cli.masking.gathering import Gathering, Progress
from staticmask_cli.masking.write import OvertakenError, commit, foresee
from staticmask_cli.masks.existing import HeldMasks
from staticmask_cli.masks.quality import QualityCheck, failed
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import Report, RunRecord, chip_line
from staticmask_cli.settings import Settings
from staticmask_cli.threads import Threads

log = logging.getLogger(__name__)

# So often exposures are gathered anew because another run has added some of them meanwhile.
_ATTEMPTS = 10


def make_masks(
    settings: Settings,
    *,
    dry_run: bool = False,
    write: bool = True,
    executor: Executor | None = None,
    progress: Progress | None = None,
    run_record: RunRecord | None = None,
) -> Report:
    """Make one static mask for every detector chip in the exposures.

    Parameters
    ----------
    settings : Settings
        What to do.
    dry_run : bool
        Whether to stop short of reading pixels and of writing.
    write : bool
        Whether to write the masks that were made.
    executor : Executor, optional
        Does the measuring in place of threads of our own; it is not shut
        down. ``settings.jobs`` still tells how much it is given at a time.
    progress : callable, optional
        Told after each exposure how many are done.
    run_record : RunRecord, optional
        Learns what the run does while it does it; what it has learned stays
        also if the run fails. Warnings that it has already are not logged again.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        Everything that is wrong with the exposures; nothing was written. With
        ``settings.keep_going`` only if none is left.
    OutputError
        If a mask cannot be written, or exposures cannot be added to it.
    """
    run_record = RunRecord() if run_record is None else run_record
    run_record.dry_run = dry_run
    heard = len(run_record.warnings)  # those of the configuration
    shows = write and not dry_run and bool(settings.report or settings.preview)
    if shows:
        # Not above: pictures are seldom asked for, and need more than masks do.
        from staticmask_cli.reports import showing  # noqa: PLC0415

        showing.check(settings)
        run_record.unfinished += showing.asked(settings)
    if settings.static:
        _make(settings, executor, progress, run_record, write=write and not dry_run)
    kinds = {
        _warning_of(exposure.path, record): record.reason
        for exposure in run_record.exposures
        for _, record in exposure.chips
    }
    for warning in run_record.warnings[heard:]:
        log.warning("%s", warning, extra={"kind": kinds.get(warning)})
    if write:
        log_failed_checks(_news(run_record, settings), settings)
    report = Report(
        settings=settings,
        masks=run_record.masks,
        exposures=tuple(run_record.exposures),
        warnings=tuple(run_record.warnings),
        dry_run=dry_run,
    )
    if shows and report.masks:
        with run_record.timed("show"):
            showing.show(report)
    if shows:
        for option in showing.asked(settings):
            run_record.unfinished.remove(option)
    return report


def _make(
    settings: Settings,
    executor: Executor | None,
    progress: Progress | None,
    run_record: RunRecord,
    *,
    write: bool,
) -> None:
    with run_record.timed("resolve"):
        paths, unresolved = resolve(settings.input, read_association)
    warnings = list(run_record.warnings)
    for _ in range(_ATTEMPTS):
        try:
            _gather_and_commit(
                settings, paths, unresolved, executor, progress, run_record, write=write
            )
        except OvertakenError:
            log.debug("another run has changed the masks meanwhile; once more")
            run_record.warnings, run_record.exposures = list(warnings), []
        else:
            return
    raise OutputError(
        f"{settings.output_dir}: other runs kept changing masks of the same exposures; "
        "nothing was written, run again"
    )


def _gather_and_commit(
    settings: Settings,
    paths: Sequence[Path],
    unresolved: Mapping[str, str],
    executor: Executor | None,
    progress: Progress | None,
    run_record: RunRecord,
    *,
    write: bool,
) -> None:
    folder = Path(settings.output_dir)
    closed = folder_problems(folder) if write else []
    held = HeldMasks(settings) if settings.update else None
    jobs = jobs_of(settings)
    with run_record.timed("measure"), workers(jobs, executor) as lent:
        measures = None if run_record.dry_run or closed else lent
        gathering = Gathering(settings, measures, jobs, held, run_record)
        for problem, name in unresolved.items():
            gathering.fail(name, [problem])
        gathering.run(paths, progress)
    lost = held.problems if held else []
    if lost or closed or (gathering.problems and not settings.keep_going):
        wrong = [*gathering.problems, *lost, *closed]
        raise (InputError if gathering.problems else OutputError)(*wrong)
    _tell_chips(run_record)
    there = {i for i in gathering.found if held and held.held(i)}
    made = {
        i: g for i, g in gathering.found.items() if g.gives_something or (i in there and g.has_good)
    }
    if not made:
        nothing = "no exposure is left to make a mask of"
        hint = "" if gathering.problems else "; see --include-empty"
        raise InputError(*gathering.problems, *run_record.warnings, nothing + hint)
    # A mask that is there tells also of what could not be added to it.
    made |= {i: g for i, g in gathering.found.items() if i in there}
    for of_one in made.values():
        of_one.records += gathering.failed
    given = {path.name for path in paths} | {record.file for record in gathering.failed}
    with run_record.timed("write"):
        if write:
            commit(made, held, given, settings, jobs, run_record)
        else:
            foresee(made, held, given, settings, run_record)
    _settle_copies(run_record)
    for problem in gathering.problems:
        log.error("%s; left out", problem)


def _settle_copies(run_record: RunRecord) -> None:
    """Report of each chip what the masks have: which of several copies counts they decide."""
    rows = {(mask.identity, row.key): row for mask in run_record.masks for row in mask.chips}

    def settled(identity: ChipIdentity, record: ChipRecord) -> ChipRecord:
        row = rows.get((identity, record.in_table().key), record)
        return (
            record if row.used == record.used else replace(record, used=row.used, reason=row.reason)
        )

    run_record.exposures = [
        replace(exposure, chips=tuple((i, settled(i, record)) for i, record in exposure.chips))
        for exposure in run_record.exposures
    ]


def log_failed_checks(checks: Iterable[QualityCheck], settings: Settings) -> None:
    """Log checks: as errors if they decide the exit status."""
    for check in checks:
        level = logging.ERROR if settings.strict else logging.WARNING
        log.log(level, "%s", check, extra={"kind": check.kind, "value": check.value})


def _news(run_record: RunRecord, settings: Settings) -> list[QualityCheck]:
    """Return the checks that a user has not heard of; all of them if they decide the status."""
    keys = {r.in_table().key for e in run_record.exposures if e.state == "read" for _, r in e.chips}
    found: list[QualityCheck] = []
    for mask in run_record.masks:
        if mask.state == "written" or settings.strict:
            found += failed(mask.quality.mask)
        for record, checks in zip(mask.chips, mask.quality.chips, strict=False):
            if record.key in keys or settings.strict:
                found += failed(checks)
    return found


def _tell_chips(run_record: RunRecord) -> None:
    """Log what was measured, and warn of what a user should know of single chips."""
    records = sorted(
        ((e.path, r) for e in run_record.exposures if e.state != "failed" for _, r in e.chips),
        key=lambda pair: (pair[1].file, pair[1].extver),
    )
    for path, record in records:
        log.info("%s", chip_line(record))
        if record.reason:
            run_record.warnings.append(_warning_of(path, record))


def _warning_of(path: str, record: ChipRecord) -> str:
    return f"{path}: SCI,{record.extver}: {record.reason}"


@contextmanager
def workers(jobs: int, executor: Executor | None) -> Iterator[Executor]:
    """Lend an executor; our own ends at once if the run does, what waits being dropped."""
    if executor is not None:
        yield executor
        return
    threads = Threads(jobs, thread_name_prefix="staticmask")
    try:
        yield threads
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def jobs_of(settings: Settings) -> int:
    """Return how many chips a run measures at a time."""
    if settings.jobs:
        return settings.jobs
    if hasattr(os, "sched_getaffinity"):  # the cores that a batch system gave us
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
