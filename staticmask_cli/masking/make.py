"""One run: exposures to masks. Orchestration only; no arithmetic, no printing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.fits_files import read_association
from staticmask_cli.exposures.inputs import resolve
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.exposures.shards import is_in_shard
from staticmask_cli.files.atomic import folder_problems
from staticmask_cli.masking.accumulated import Accumulation
from staticmask_cli.masking.engines import engine_of
from staticmask_cli.masking.exposure_loop import (
    ExposureLoop,
    Progress,
    log_skipped,
    sort_reports,
)
from staticmask_cli.masking.measure import measure
from staticmask_cli.masking.parts import add_in_parts, are_worthwhile
from staticmask_cli.masking.write import (
    OvertakenError,
    check_edited,
    plan_masks,
    write_masks,
)
from staticmask_cli.masks.existing import ExistingMasks
from staticmask_cli.masks.quality import QualityCheck, failed
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import (
    ExposureState,
    MaskState,
    Report,
    RunRecord,
    chip_line,
)
from staticmask_cli.settings import Settings, Shard

log = logging.getLogger(__name__)

# Number of times to read the exposures, if another run adds some of them meanwhile.
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
        The settings of the run.
    dry_run : bool
        Whether to read no pixels and write nothing.
    write : bool
        Whether to write the masks.
    executor : Executor, optional
        Measures the chips instead of our own threads; it is not shut down.
    progress : callable, optional
        Called after each exposure with the number done and the number in all.
    run_record : RunRecord, optional
        Updated during the run, and valid even if the run fails. Warnings already
        in it are not logged again.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        If exposures cannot be used, or with ``settings.keep_going`` if none can; lists
        all problems. Nothing was written.
    OutputError
        If a mask cannot be written, or exposures cannot be added to it.
    """
    run_record = RunRecord() if run_record is None else run_record
    run_record.dry_run = dry_run
    shows = write and not dry_run and bool(settings.report or settings.preview)
    if shows:
        # Not above: pictures are rarely requested, and need optional packages.
        from staticmask_cli.reports import showing  # noqa: PLC0415

        showing.check(settings)
        run_record.unfinished += showing.requested(settings)
    if settings.static:
        _make(settings, executor, progress, run_record, dry_run=dry_run, write=write)
    if write:
        log_failed_checks(_checks_to_log(run_record, settings), settings)
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
        for option in showing.requested(settings):
            run_record.unfinished.remove(option)
    return report


def _make(
    settings: Settings,
    executor: Executor | None,
    progress: Progress | None,
    run_record: RunRecord,
    *,
    dry_run: bool,
    write: bool,
) -> None:
    with run_record.timed("resolve"):
        paths, unresolved = resolve(settings.input, read_association)
        if settings.shard is not None and paths:
            paths, unresolved = _part(paths, unresolved, settings.shard, run_record)
            if not paths and not unresolved:
                return
    for _ in range(_ATTEMPTS):
        try:
            _make_once(
                settings,
                paths,
                unresolved,
                executor,
                progress,
                run_record,
                dry_run=dry_run,
                write=write,
            )
        except OvertakenError:
            log.debug("another run changed the masks meanwhile; reading the exposures again")
            run_record.exposures = []
        else:
            return
    raise OutputError(
        f"{settings.output_dir}: other runs kept changing masks of the same exposures; "
        "nothing was written, run again"
    )


def _part(
    paths: Sequence[FilePath], unresolved: Mapping[str, str], shard: Shard, run_record: RunRecord
) -> tuple[list[FilePath], dict[str, str]]:
    """Return those of the exposures, also of the missing ones, that are in a part."""
    part = [path for path in paths if is_in_shard(path, shard)]
    missing = {line: n for line, n in unresolved.items() if is_in_shard(Path(n), shard)}
    if not part and not missing:
        run_record.warn(f"shard {shard} is empty (exposures in all: {len(paths)}); no mask is made")
    return part, missing


def _make_once(
    settings: Settings,
    paths: Sequence[FilePath],
    unresolved: Mapping[str, str],
    executor: Executor | None,
    progress: Progress | None,
    run_record: RunRecord,
    *,
    dry_run: bool,
    write: bool,
) -> None:
    writes = write and not dry_run
    closed = folder_problems(Path(settings.output_dir)) if writes else []
    existing = ExistingMasks(settings) if settings.update else None
    accumulation = Accumulation(settings, existing)
    work = None
    if not dry_run and not closed:
        work = partial(measure, static_sig=settings.static_sig, background=settings.background)
    with run_record.timed("measure"), engine_of(settings, executor) as engine:
        loop = ExposureLoop(settings, work, engine, run_record, existing=existing)
        accumulation.add(loop.run([], unresolved))
        if work and not existing and are_worthwhile(len(paths), engine):
            add_in_parts(accumulation, loop, engine, paths, settings, work, run_record, progress)
        else:
            accumulation.add(loop.run(paths, {}, progress))
    sort_reports(run_record, paths)
    found, failures = accumulation.found, accumulation.failures
    unusable = [*(existing.problems if existing else ()), *closed]
    if unusable or (loop.problems and not settings.keep_going):
        raise (InputError if loop.problems else OutputError)(*loop.problems, *unusable)
    _log_chips(run_record)
    updated = {i for i in found if existing and existing.table(i)}
    made = {
        i: of_one
        for i, of_one in found.items()
        # The mask of a part lists all that was given, for the mask of all parts.
        if of_one.contributes or (i in updated and of_one.has_good) or settings.shard is not None
    }
    if not made and settings.shard is None:
        raise loop.no_usable_exposure()
    # An existing mask also lists exposures that could not be added to it.
    made |= {i: of_one for i, of_one in found.items() if i in updated}
    for of_one in made.values():
        of_one.records += failures
    given = {path.name for path in paths} | {record.file for record in failures}
    with run_record.timed("write"):
        if writes and made:
            write_masks(made, existing, given, settings, run_record)
        else:
            run_record.masks = plan_masks(
                made, existing, given, settings, run_record, pixels=not dry_run
            )
            if dry_run:
                check_edited(run_record.masks, settings)
    _report_as_in_masks(run_record)
    log_skipped(loop.problems)


def _report_as_in_masks(run_record: RunRecord) -> None:
    """Report each chip as in the masks, which decide which of several copies is used."""
    chips = {mask.identity: mask.chips for mask in run_record.masks}

    def settled(identity: ChipIdentity, record: ChipRecord) -> ChipRecord:
        key = record.in_table().key
        named = chips[identity].named(record.file) if identity in chips else ()
        row = next((row for row in named if row.key == key), record)
        return (
            record if row.used == record.used else replace(record, used=row.used, reason=row.reason)
        )

    run_record.exposures = [
        replace(exposure, chips=tuple((i, settled(i, record)) for i, record in exposure.chips))
        for exposure in run_record.exposures
    ]


def log_failed_checks(checks: Iterable[QualityCheck], settings: Settings) -> None:
    """Log failed checks: as errors if they set the exit status."""
    for check in checks:
        level = logging.ERROR if settings.strict else logging.WARNING
        log.log(level, "%s", check, extra={"kind": check.kind, "value": check.value})


def _checks_to_log(run_record: RunRecord, settings: Settings) -> list[QualityCheck]:
    """Return the failed checks that no earlier run logged; all if they set the exit status."""
    read = (e for e in run_record.exposures if e.state is ExposureState.READ)
    keys = {record.in_table().key for exposure in read for _, record in exposure.chips}
    found: list[QualityCheck] = []
    for mask in run_record.masks:
        if mask.state is MaskState.WRITTEN or settings.strict:
            found += failed(mask.quality.mask)
        for row, checks in enumerate(mask.quality.chips):
            if checks and (settings.strict or mask.chips[row].key in keys):
                found += failed(checks)
    return found


def _log_chips(run_record: RunRecord) -> None:
    """Log the statistics of each chip."""
    done = (e for e in run_record.exposures if e.state is not ExposureState.FAILED)
    records = [record for exposure in done for _, record in exposure.chips]
    for record in sorted(records, key=lambda record: (record.file, record.extver)):
        log.info("%s", chip_line(record))
