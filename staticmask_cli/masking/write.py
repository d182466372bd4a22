"""What a run gathered to masks on disk, under the folder's lock."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import OutputError
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.files.atomic import created_folder, put_in_place, staged, state_of
from staticmask_cli.files.locks import locked
from staticmask_cli.files.signals import signals_deferred
from staticmask_cli.masking.gathering import Gathered
from staticmask_cli.masks.builder import MaskAccumulator
from staticmask_cli.masks.duplicates import are_of_one_exposure
from staticmask_cli.masks.existing import HeldMasks, find, is_no_mask
from staticmask_cli.masks.held import HeldMask, other_identity
from staticmask_cli.masks.naming import documented_name, mask_names, possible_names
from staticmask_cli.masks.output import mask_hdus
from staticmask_cli.masks.quality import Quality, check_quality
from staticmask_cli.masks.records import ChipRecord, merged
from staticmask_cli.reports.report import MaskReport, RunRecord
from staticmask_cli.settings import Settings


def commit(
    gathered: Mapping[ChipIdentity, Gathered],
    before: HeldMasks | None,
    given: Collection[str],
    settings: Settings,
    jobs: int,
    run_record: RunRecord,
) -> None:
    """Judge and write the masks.

    With ``settings.update`` masks are read only here, under the lock: what
    another run has added while this one was measuring stays in them.

    Parameters
    ----------
    gathered : mapping
        What the run has of each identity.
    before : HeldMasks or None
        The existing masks as they were when the exposures were gathered, if
        exposures are added to them.
    given : collection of str
        Names of the files that the run was given.
    settings : Settings
        Of the run.
    jobs : int
        Masks to write at a time.
    run_record : RunRecord
        Learns of the masks, once they are there; if some cannot be written, of the others.

    Raises
    ------
    OutputError
        If a mask cannot be written, or added to; it says which are new.
    OvertakenError
        If the exposures must be gathered again; nothing was written.
    """
    folder = Path(settings.output_dir)
    with created_folder(folder), locked(folder, settings.lock_timeout):
        states = {
            folder / name: state_of(folder / name)
            for identity in gathered
            for name in possible_names(identity, settings.prefix)
        }
        planned = _plan(gathered, before, given, settings, run_record.warnings, pixels=True)
        files = {
            folder / p.name: partial(
                mask_hdus, p.mask, identity, p.records, settings.recipe, p.quality
            )
            for identity, p in planned.items()
            if p.state == "planned"
        }
        # No signal comes between masks, nor before the run_record has learned of them.
        with staged(files, jobs) as parts, signals_deferred():
            written, problems = put_in_place(parts, states)
            run_record.masks = tuple(
                replace(mask, state="written") if mask.state == "planned" else mask
                for mask in _reports(planned, settings, pixels=True)
                if mask.state == "unchanged" or Path(mask.path) in written
            )
        if problems:
            raise OutputError(*problems)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A mask as it will be, or as it is, if its state is ``unchanged``."""

    name: str
    records: list[ChipRecord]
    mask: MaskAccumulator
    state: str
    quality: Quality


class OvertakenError(Exception):
    """Another run has changed a mask meanwhile, and this one must gather its exposures again.

    It added or removed some of them, or another version of one, or it added
    counts, which would be lost.
    """


def foresee(
    gathered: Mapping[ChipIdentity, Gathered],
    before: HeldMasks | None,
    given: Collection[str],
    settings: Settings,
    run_record: RunRecord,
) -> None:
    """Tell the run_record which masks `commit` would write; in a dry run without their pixels."""
    pixels = not run_record.dry_run
    planned = _plan(gathered, before, given, settings, run_record.warnings, pixels=pixels)
    run_record.masks = _reports(planned, settings, pixels=pixels)


def _plan(
    gathered: Mapping[ChipIdentity, Gathered],
    before: HeldMasks | None,
    given: Collection[str],
    settings: Settings,
    notes: list[str],
    *,
    pixels: bool,
) -> dict[ChipIdentity, _Planned]:
    """Put together what was gathered and what is on disk; `notes` grows by warnings."""
    existing = _existing(gathered, before, settings, pixels=pixels) if settings.update else {}
    kept = {identity: path.name for identity, (path, _) in existing.items()}
    names = _names(list(gathered), kept, settings, notes)
    planned: dict[ChipIdentity, _Planned] = {}
    for identity, of_one in gathered.items():
        old = existing[identity][1] if identity in existing else None
        records = _joined(of_one, old, given, settings)
        is_same = old is not None and list(map(_row, old.records)) == list(map(_row, records))
        name, mask = names[identity], of_one.mask
        quality = Quality()
        if pixels:
            quality = check_quality(name, identity, mask, records, settings.recipe, settings)
        state = "unchanged" if is_same else "planned"
        planned[identity] = _Planned(name, records, mask, state, quality)
    return planned


def _row(record: ChipRecord) -> tuple[object, ...]:
    """Return all of a record that can change while its pixels do not."""
    return *record.key, record.used, record.reason


def _existing(
    gathered: Mapping[ChipIdentity, Gathered],
    before: HeldMasks | None,
    settings: Settings,
    *,
    pixels: bool,
) -> dict[ChipIdentity, tuple[Path, HeldMask]]:
    """Return the masks on disk to which exposures are added."""
    existing: dict[ChipIdentity, tuple[Path, HeldMask]] = {}
    problems: list[str] = []
    for identity, of_one in gathered.items():
        try:
            found = find(identity, settings, pixels=pixels)
        except OutputError as error:
            problems += error.problems
            continue
        now = found[1].records if found else ()
        if _concerns(of_one, before.records(identity) if before else (), now):
            raise OvertakenError
        if found and found[1].has_counts and not of_one.mask.keeps_counts:
            raise OvertakenError
        if found:
            existing[identity] = found
    if problems:
        raise OutputError(*problems)
    return existing


def _concerns(of_one: Gathered, before: Iterable[ChipRecord], now: Iterable[ChipRecord]) -> bool:
    """Return whether what another run has changed meanwhile is of exposures of this one."""
    rows_before, rows_now = ({_row(r): r for r in rows} for rows in (before, now))
    changed = [
        *(record for row, record in rows_now.items() if row not in rows_before),
        *(record for row, record in rows_before.items() if row not in rows_now),
    ]
    ours = [record for record in (*of_one.records, *of_one.known) if not record.failed]
    return are_of_one_exposure(changed, ours)


def _joined(
    of_one: Gathered, old: HeldMask | None, given: Collection[str], settings: Settings
) -> list[ChipRecord]:
    """Add an existing mask to what was gathered; return the records of both."""
    superseded = Counter(record.key for record in of_one.superseded)
    stay = []
    for record in old.records if old else ():
        if superseded[record.key]:
            superseded[record.key] -= 1
        else:
            stay.append(record)
    alone: dict[str, NDArray[np.uint32]] = {}
    if old and old.bits is not None:
        counting = [record for record in old.records if record.used]
        numbers = of_one.mask.add_mask(
            old.bits, [record.unique for record in counting], len(counting), old.counts
        )
        places = of_one.mask.alone()
        alone = {r.pixel_hash: places[n] for r, n in zip(counting, numbers, strict=True)}
    alone |= of_one.alone()
    nothing = np.empty(0, np.uint32)
    allow = settings.allow_duplicates
    return [
        replace(r, unique=alone.get(r.pixel_hash, nothing) if r.used else nothing)
        for r in merged(stay, of_one.records, given, allow_duplicates=allow)
    ]


def _reports(
    planned: Mapping[ChipIdentity, _Planned], settings: Settings, *, pixels: bool
) -> tuple[MaskReport, ...]:
    masks = (
        MaskReport(
            path=os.path.join(settings.output_dir, p.name),  # noqa: PTH118 - as the user wrote it
            identity=identity,
            chips=tuple(p.records),
            bad=p.mask.bad if pixels else None,
            state=p.state,
            quality=p.quality,
            pixels=p.mask if pixels else None,
        )
        for identity, p in planned.items()
    )
    return tuple(sorted(masks, key=lambda mask: mask.path))


def _names(
    identities: Iterable[ChipIdentity],
    kept: Mapping[ChipIdentity, str],
    settings: Settings,
    notes: list[str],
) -> dict[ChipIdentity, str]:
    """Name the masks; those in `kept` have their names.

    `notes` grows by a warning for every new name that is not the documented one.
    """
    folder, prefix = Path(settings.output_dir), settings.prefix

    def other(name: str, identity: ChipIdentity) -> ChipIdentity | None:
        return other_identity(folder / name, identity, overwrite=settings.overwrite)

    taken = {i: other(documented_name(i, prefix), i) for i in identities}
    names = mask_names(taken, prefix) | dict(kept)
    notes += [
        f"{folder / name}: is not a static mask, and is replaced"
        for identity, name in names.items()
        if identity not in kept
        if os.path.lexists(folder / name) and is_no_mask(folder / name, identity)
    ]
    for identity, name in names.items():
        documented = documented_name(identity, prefix)
        if name == documented or identity in kept:
            continue
        reason = "another region has the same documented name"
        if taken[identity] is not None:
            reason = f"that file is the mask of {taken[identity]}"
        elif os.path.lexists(folder / documented):
            reason += "; the older mask of that name is left as it is"
        notes.append(f"{name} is the mask of {identity}, not {documented}: {reason}")
        if (owner := other(name, identity)) is not None:
            raise OutputError(f"{folder / name}: is the mask of {owner}; move it away")
    if len(set(names.values())) < len(names):
        raise OutputError("two chips would get the same mask file; use different folders")
    return names
