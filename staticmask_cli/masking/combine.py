"""Combining masks of disjoint exposures into the mask of all; no exposure is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.outputs import output_files
from staticmask_cli.masking.write import name_masks, put_masks
from staticmask_cli.masks.builder import MaskBuilder, joined
from staticmask_cli.masks.combining import Part, contributing, read_part, read_parts
from staticmask_cli.masks.quality import check_quality
from staticmask_cli.masks.records import Records, merged
from staticmask_cli.reports.report import MaskReport, MaskState, RunRecord
from staticmask_cli.settings import Recipe, Settings


def combine(settings: Settings, *, run_record: RunRecord | None = None) -> tuple[MaskReport, ...]:
    """Write the masks that one run over the exposures of several masks makes.

    Parameters
    ----------
    settings : Settings
        ``input`` is masks, or folders of masks; ``output_dir``, ``prefix``, ``overwrite``,
        ``lock_timeout`` and the limits of the quality checks apply; everything else is taken
        from the masks.
    run_record : RunRecord, optional
        Receives the masks that were written, even if others cannot be.

    Returns
    -------
    tuple of MaskReport
        A mask for each chip, by name.

    Raises
    ------
    InputError
        If masks cannot be combined; lists all problems. Nothing was written.
    OutputError
        If a mask exists or cannot be written.
    """
    run_record = RunRecord() if run_record is None else run_record
    paths, unresolved = resolve_masks(settings.input)
    if unresolved:
        raise InputError(*unresolved)
    parts, recipe = read_parts(paths)
    groups: dict[ChipIdentity, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.table.identity, []).append(part)
    chosen: dict[ChipIdentity, list[Part]] = {}
    problems: list[str] = []
    for identity, group in groups.items():
        try:
            chosen[identity] = contributing(group)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    names = name_masks(groups, {}, settings, run_record)
    identities = sorted(groups, key=lambda identity: names[identity])
    with output_files([names[i] for i in identities], paths, settings) as before:
        # All masks of a run list the exposures that could not be opened.
        unopened = [_unopened(part.table.records) for part in parts]
        targets = {
            path: _combined(path, groups[i], chosen[i], unopened, recipe, settings)
            for path, i in zip(before, identities, strict=True)
        }
        put_masks(targets, before, jobs_of(settings), run_record)
    return run_record.masks


def _unopened(records: Records) -> Records:
    return records.where(records.failed & (records.rows["extver"] == 0))


def _combined(
    path: Path,
    group: Sequence[Part],
    chosen: Sequence[Part],
    unopened: Sequence[Records],
    recipe: Recipe,
    settings: Settings,
) -> MaskReport:
    identity = group[0].table.identity
    builder = MaskBuilder(identity.shape, recipe.min_exposures, counts=group[0].table.has_counts)
    records = merged(
        [*(part.table.records for part in group), *unopened],
        allow_duplicates=recipe.allow_duplicates,
    )
    mask = joined(builder, map(read_part, chosen), identity, recipe, records)
    return MaskReport(
        path=str(path),
        state=MaskState.PLANNED,
        identity=identity,
        chips=mask.records,
        mask=replace(mask, quality=check_quality(path.name, mask, settings)),
    )
