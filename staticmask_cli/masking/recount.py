"""Rewriting masks with counts for another ``min_exposures``; no exposure is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.files.atomic import state_of
from staticmask_cli.files.locks import locked
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.write import put_masks
from staticmask_cli.masks.builder import MaskBuilder, joined
from staticmask_cli.masks.existing import read_counted
from staticmask_cli.masks.quality import check_quality
from staticmask_cli.reports.report import MaskReport, MaskState, RunRecord
from staticmask_cli.settings import Settings


def recount(settings: Settings, *, run_record: RunRecord | None = None) -> tuple[MaskReport, ...]:
    """Rewrite masks as if they had been made with another ``min_exposures``.

    Parameters
    ----------
    settings : Settings
        ``input`` is masks, or folders of masks; ``min_exposures`` and the limits of
        the quality checks apply; everything else is taken from the masks.
    run_record : RunRecord, optional
        Receives the masks that were written, even if others cannot be.

    Returns
    -------
    tuple of MaskReport
        The masks, in the given order.

    Raises
    ------
    InputError
        If an input matches nothing.
    OutputError
        If a mask has no counts or is damaged (then none is changed), or cannot be
        written (then the message lists those that were replaced).
    """
    run_record = RunRecord() if run_record is None else run_record
    paths, unresolved = resolve_masks(settings.input)
    if unresolved:
        raise InputError(*unresolved)
    with ExitStack() as stack:
        # Links are resolved: their targets are rewritten, and each folder is locked once.
        folders = sorted({_real(path).parent for path in paths})
        for folder in folders:
            stack.enter_context(locked(folder, settings.lock_timeout))
        before = {_real(path): state_of(_real(path)) for path in paths}
        reports = _recounted(paths, settings)
        targets = {_real(Path(report.path)): report for report in reports}
        put_masks(targets, before, jobs_of(settings), run_record)
    return run_record.masks


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _recounted(paths: Iterable[Path], settings: Settings) -> list[MaskReport]:
    problems: list[str] = []
    reports: list[MaskReport] = []
    for path in paths:
        try:
            old = read_counted(path)
        except OutputError as error:
            problems += error.problems
            continue
        if old.identity is None or old.recipe is None:
            continue  # never happens: a mask with counts records both
        builder = MaskBuilder(old.shape, settings.min_exposures, counts=True)
        recipe = old.recipe._replace(min_exposures=settings.min_exposures)
        mask = joined(builder, [old], old.identity, recipe, old.records)
        reports.append(
            MaskReport(
                path=os.fspath(path),
                state=MaskState.PLANNED,
                identity=old.identity,
                chips=old.records,
                mask=replace(mask, quality=check_quality(path.name, mask, settings)),
            )
        )
    if problems:
        raise OutputError(*problems)
    return reports
