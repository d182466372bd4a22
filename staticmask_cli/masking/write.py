"""Writing the accumulated masks of a run, while their folder is locked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from staticmask_cli.errors import OutputError
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.files.atomic import State, created_folder, put_in_place, staged, state_of
from staticmask_cli.files.locks import locked
from staticmask_cli.files.signals import signals_deferred
from staticmask_cli.masking.accumulated import Accumulated
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masks.builder import joined
from staticmask_cli.masks.duplicates import are_of_one_exposure
from staticmask_cli.masks.existing import (
    ExistingMasks,
    find,
    may_be_replaced,
    other_identity,
    read_existing,
    was_edited,
)
from staticmask_cli.masks.fits_form import MaskTable, write_mask
from staticmask_cli.masks.naming import documented_name, mask_names, possible_names
from staticmask_cli.masks.quality import check_quality
from staticmask_cli.masks.records import Records, merged
from staticmask_cli.reports.report import MaskReport, MaskState, RunRecord
from staticmask_cli.settings import Settings


class OvertakenError(Exception):
    """Another run changed a mask meanwhile, and this one must read its exposures again.

    The other run added or removed some of these exposures or another version of one,
    or it added counts, which would be lost.
    """


def write_masks(
    accumulated: Mapping[ChipIdentity, Accumulated],
    before: ExistingMasks | None,
    given: Collection[str],
    settings: Settings,
    run_record: RunRecord,
) -> None:
    """Check and write the masks.

    With ``settings.update``, existing masks are read here, while the folder is locked,
    so that exposures added by another run in the meantime are kept.

    Parameters
    ----------
    accumulated : mapping
        The chips of each identity.
    before : ExistingMasks or None
        The existing masks as they were when the exposures were read, if
        exposures are added to them.
    given : collection of str
        File names of the exposures given to the run.
    settings : Settings
        The settings of the run.
    run_record : RunRecord
        Receives the masks that were written, even if others cannot be.

    Raises
    ------
    OutputError
        If a mask cannot be written or updated; lists those that were replaced.
    OvertakenError
        If the exposures must be read again; nothing was written.
    """
    folder = Path(settings.output_dir)
    with created_folder(folder), locked(folder, settings.lock_timeout):
        states = {
            folder / name: state_of(folder / name)
            for identity in accumulated
            for name in possible_names(identity, settings.prefix)
        }
        masks = plan_masks(accumulated, before, given, settings, run_record, pixels=True)
        check_edited(masks, settings)
        targets = {folder / Path(mask.path).name: mask for mask in masks}
        put_masks(targets, states, jobs_of(settings), run_record)


def check_edited(masks: Iterable[MaskReport], settings: Settings) -> None:
    """Check that no edited or imported mask would be replaced without being asked for.

    Raises
    ------
    OutputError
        If one would.
    """
    paths = [Path(settings.output_dir) / Path(mask.path).name for mask in masks]
    edited = [] if settings.overwrite else list(filter(was_edited, paths))
    if edited:
        advice = "use another --output-dir, or --overwrite to replace it"
        raise OutputError(*(f"{path}: was edited or imported; {advice}" for path in edited))


def put_masks(
    targets: Mapping[Path, MaskReport],
    before: Mapping[Path, State],
    jobs: int,
    run_record: RunRecord,
) -> None:
    """Write those of the masks that are planned; their folders must be locked.

    Parameters
    ----------
    targets : mapping
        The mask for each path.
    before : mapping
        The state of each path before it was read.
    jobs : int
        Number of masks to write at a time.
    run_record : RunRecord
        As for `write_masks`.

    Raises
    ------
    OutputError
        If a mask cannot be written; lists those that were replaced.
    """
    files = {
        path: partial(write_mask, report.mask)
        for path, report in targets.items()
        if report.state is MaskState.PLANNED and report.mask is not None
    }
    # A signal waits until all masks are in place and in the run record.
    with staged(files, jobs) as parts, signals_deferred():
        written, problems = put_in_place(parts, before)
        run_record.masks = tuple(
            replace(report, state=MaskState.WRITTEN) if path in written else report
            for path, report in targets.items()
            if path in written or report.state is MaskState.UNCHANGED
        )
    if problems:
        raise OutputError(*problems)


def plan_masks(
    accumulated: Mapping[ChipIdentity, Accumulated],
    before: ExistingMasks | None,
    given: Collection[str],
    settings: Settings,
    run_record: RunRecord,
    *,
    pixels: bool,
) -> tuple[MaskReport, ...]:
    """Return the masks that `write_masks` writes, by path; parameters and errors as there.

    Without `pixels`, as in a dry run, their ``mask`` is None.
    """
    existing = _existing(accumulated, before, settings) if settings.update else {}
    kept = {identity: path.name for identity, (path, _) in existing.items()}
    names = name_masks(list(accumulated), kept, settings, run_record)
    planned = []
    for identity, of_one in accumulated.items():
        path, table = existing.get(identity, (None, None))
        parts = [Records.of(of_one.records, identity.ccdchip), *of_one.parts]
        if table is not None:
            parts.append(table.records.replaced_by(given, of_one.superseded))
        records = merged(parts, allow_duplicates=settings.allow_duplicates)
        is_same = table is not None and table.records.is_same_as(records)
        mask = None
        if pixels:
            old = map(read_existing, [] if path is None else [path])
            mask = joined(of_one.builder, old, identity, settings.recipe, records)
            mask = replace(mask, quality=check_quality(names[identity], mask, settings))
        planned.append(
            MaskReport(
                path=os.path.join(settings.output_dir, names[identity]),  # noqa: PTH118 - as the user wrote it
                state=MaskState.UNCHANGED if is_same else MaskState.PLANNED,
                identity=identity,
                chips=records if mask is None else mask.records,
                mask=mask,
            )
        )
    return tuple(sorted(planned, key=lambda report: report.path))


def _existing(
    accumulated: Mapping[ChipIdentity, Accumulated],
    before: ExistingMasks | None,
    settings: Settings,
) -> dict[ChipIdentity, tuple[Path, MaskTable]]:
    """Return path and table of the existing masks to which exposures are added."""
    existing: dict[ChipIdentity, tuple[Path, MaskTable]] = {}
    problems: list[str] = []
    for identity, of_one in accumulated.items():
        try:
            found = find(identity, settings)
        except OutputError as error:
            problems += error.problems
            continue
        now = found[1].records if found else Records.of()
        if before and _overlaps(of_one, before.records(identity), now):
            raise OvertakenError
        if found and found[1].has_counts and not of_one.builder.keeps_counts:
            raise OvertakenError
        if found:
            existing[identity] = found
    if problems:
        raise OutputError(*problems)
    return existing


def _overlaps(of_one: Accumulated, before: Records, now: Records) -> bool:
    """Return whether another run meanwhile changed records of exposures of this run."""
    if before.is_same_as(now):
        return False
    ours = [record for record in (*of_one.records, *of_one.known) if not record.failed]
    return are_of_one_exposure(before.changes(now), ours)


def name_masks(
    identities: Iterable[ChipIdentity],
    kept: Mapping[ChipIdentity, str],
    settings: Settings,
    run_record: RunRecord,
) -> dict[ChipIdentity, str]:
    """Name the masks; those in `kept` keep their names. Warn of undocumented names."""
    folder, prefix = Path(settings.output_dir), settings.prefix

    def other(name: str, identity: ChipIdentity) -> ChipIdentity | None:
        return other_identity(folder / name, identity, overwrite=settings.overwrite)

    taken = {i: other(documented_name(i, prefix), i) for i in identities}
    names = mask_names(taken, prefix) | dict(kept)
    for identity, name in names.items():
        path = folder / name
        if identity not in kept and may_be_replaced(path, identity, overwrite=settings.overwrite):
            run_record.warn(f"{path}: is not a static mask; replaced")
    for identity, name in names.items():
        documented = documented_name(identity, prefix)
        if name == documented or identity in kept:
            continue
        reason = "another region has the same documented name"
        if taken[identity] is not None:
            reason = f"that file is the mask of {taken[identity]}"
        elif os.path.lexists(folder / documented):
            reason += "; the older mask of that name is unchanged"
        run_record.warn(f"{name} is the mask of {identity}, not {documented}: {reason}")
        if (owner := other(name, identity)) is not None:
            raise OutputError(f"{folder / name}: is the mask of {owner}; move it away")
    if len(set(names.values())) < len(names):
        raise OutputError("two chips would get the same mask file; use different folders")
    return names
