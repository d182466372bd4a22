"""Masks that keep counts, made anew for another number of exposures; no exposure is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.files.atomic import Writable, put_in_place, staged, state_of
from staticmask_cli.files.locks import locked
from staticmask_cli.files.signals import signals_deferred
from staticmask_cli.masking.make import jobs_of
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.held import HeldMask, read_counted
from staticmask_cli.masks.output import mask_hdus
from staticmask_cli.masks.quality import check_quality
from staticmask_cli.masks.records import count_chips
from staticmask_cli.reports.report import MaskReport, RunRecord
from staticmask_cli.settings import Settings


def recount(settings: Settings, *, run_record: RunRecord | None = None) -> tuple[MaskReport, ...]:
    """Rewrite masks as a run with another ``min_exposures`` would have made them.

    Parameters
    ----------
    settings : Settings
        ``input`` names the masks, or folders of them; ``min_exposures`` and the
        limits of checks count, all else is as the masks were made.
    run_record : RunRecord, optional
        Learns of the masks, once they are there; if some cannot be written, of the others.

    Returns
    -------
    tuple of MaskReport
        The masks, in the order in which they were named.

    Raises
    ------
    InputError
        If a name leads nowhere.
    OutputError
        If a mask keeps no counts or is damaged, and then all stay as they
        were; or if one cannot be written, and then it says which are new.
    """
    run_record = RunRecord() if run_record is None else run_record
    paths, lost = resolve_masks(settings.input)
    if lost:
        raise InputError(*lost)
    with ExitStack() as stack:
        # Of links what they lead to: it is that mask which is rewritten, and one
        # folder has one lock, however it is spelled.
        folders = sorted({_real(path).parent for path in paths})
        for folder in folders:
            stack.enter_context(locked(folder, settings.lock_timeout))
        before = {_real(path): state_of(_real(path)) for path in paths}
        reports, files = _recounted(paths, settings)
        # No signal comes between masks, nor before the run_record has learned of them.
        with staged(files, jobs_of(settings)) as parts, signals_deferred():
            written, problems = put_in_place(parts, before)
            run_record.masks = tuple(r for r in reports if _real(Path(r.path)) in written)
        if problems:
            raise OutputError(*problems)
    return run_record.masks


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _recounted(
    paths: Iterable[Path], settings: Settings
) -> tuple[list[MaskReport], dict[Path, Callable[[], Writable]]]:
    problems: list[str] = []
    reports: list[MaskReport] = []
    files: dict[Path, Callable[[], Writable]] = {}
    for path in paths:
        try:
            held = read_counted(path)
        except OutputError as error:
            problems += error.problems
            continue
        mask = _accumulated(held, settings)
        recipe = replace(held.recipe, min_exposures=settings.min_exposures)
        quality = check_quality(path.name, held.identity, mask, held.records, recipe, settings)
        reports.append(
            MaskReport(
                path=os.fspath(path),
                identity=held.identity,
                chips=held.records,
                bad=mask.bad,
                state="written",
                quality=quality,
                pixels=mask,
            )
        )
        files[_real(path)] = partial(mask_hdus, mask, held.identity, held.records, recipe, quality)
    if problems:
        raise OutputError(*problems)
    return reports, files


def _accumulated(held: HeldMask, settings: Settings) -> MaskAccumulator:
    mask = MaskAccumulator(held.identity.shape, settings.min_exposures, counts=True)
    if held.bits is not None:
        alone = [record.unique for record in held.records]
        mask.add_mask(held.bits, alone, count_chips(held.records), held.counts)
    return mask
