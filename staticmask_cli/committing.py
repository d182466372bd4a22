"""What a run gathered to masks on disk, under the folder's lock."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from staticmask_cli.accumulate import MaskAccumulator
from staticmask_cli.errors import OutputError, printable
from staticmask_cli.gathering import Gathered
from staticmask_cli.held import HeldMask, other_identity
from staticmask_cli.instruments import ChipIdentity
from staticmask_cli.locks import locked
from staticmask_cli.naming import documented_name, mask_names, possible_names
from staticmask_cli.output import mask_hdus
from staticmask_cli.records import ChipRecord, count_chips, merged
from staticmask_cli.report import Journal, MaskReport
from staticmask_cli.settings import Settings
from staticmask_cli.signals import held_off
from staticmask_cli.updating import find
from staticmask_cli.verdicts import Judgement, judge, too_few
from staticmask_cli.writing import made_folder, put_in_place, staged, state_of


def commit(
    gathered: Mapping[ChipIdentity, Gathered],
    given: Collection[str],
    settings: Settings,
    jobs: int,
    journal: Journal,
) -> None:
    """Judge and write the masks.

    With ``settings.update`` masks are read only here, under the lock: what
    another run has added while this one was measuring stays in them.

    Parameters
    ----------
    gathered : mapping
        What the run has of each identity.
    given : collection of str
        Names of the files that the run was given.
    settings : Settings
        Of the run.
    jobs : int
        Masks to write at a time.
    journal : Journal
        Learns of the masks, once they are there; if some cannot be written, of the others.

    Raises
    ------
    OutputError
        If a mask cannot be written, or added to; it says which are new.
    OvertakenError
        If the exposures must be gathered again; nothing was written.
    """
    folder = Path(settings.output_dir)
    with made_folder(folder), locked(folder, settings.lock_timeout):
        before = {
            folder / name: state_of(folder / name)
            for identity in gathered
            for name in possible_names(identity, settings.prefix)
        }
        planned = _plan(gathered, given, settings, journal.warnings, pixels=True)
        files = {
            folder / p.name: partial(
                mask_hdus, p.mask, identity, p.records, settings.recipe, p.judgement
            )
            for identity, p in planned.items()
            if p.state == "planned"
        }
        # No signal comes between masks, nor before the journal has learned of them.
        with staged(files, jobs) as parts, held_off():
            written, problems = put_in_place(parts, before)
            journal.masks = tuple(
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
    judgement: Judgement


class OvertakenError(Exception):
    """Another run has been here meanwhile, and this one must gather its exposures again.

    It added some of them, which must not count twice, or counts, which would be
    lost.
    """


def foresee(
    gathered: Mapping[ChipIdentity, Gathered],
    given: Collection[str],
    settings: Settings,
    journal: Journal,
) -> None:
    """Tell the journal which masks `commit` would write; in a dry run without their pixels."""
    pixels = not journal.dry_run
    planned = _plan(gathered, given, settings, journal.warnings, pixels=pixels)
    journal.masks = _reports(planned, settings, pixels=pixels)


def _plan(
    gathered: Mapping[ChipIdentity, Gathered],
    given: Collection[str],
    settings: Settings,
    notes: list[str],
    *,
    pixels: bool,
) -> dict[ChipIdentity, _Planned]:
    """Put together what was gathered and what is on disk; `notes` grows by warnings."""
    held = _held(gathered, settings, pixels=pixels) if settings.update else {}
    kept = {identity: path.name for identity, (path, _) in held.items()}
    folder = Path(settings.output_dir)
    names = _names(list(gathered), kept, folder, settings.prefix, notes)
    planned: dict[ChipIdentity, _Planned] = {}
    for identity, of_one in gathered.items():
        old = held[identity][1] if identity in held else None
        held_records = _joined(of_one, old) if old else []
        records = merged(held_records, of_one.told(), given)
        state = "planned"
        if old and tuple(map(str, old.records)) == tuple(map(str, records)):  # NaN is not NaN
            state = "unchanged"
        name, mask = names[identity], of_one.mask
        judgement = Judgement()
        if pixels:
            judgement = judge(name, mask, records, settings.recipe, settings)
            notes += too_few(name, records, settings.min_exposures)
        planned[identity] = _Planned(name, records, mask, state, judgement)
    return planned


def _held(
    gathered: Mapping[ChipIdentity, Gathered], settings: Settings, *, pixels: bool
) -> dict[ChipIdentity, tuple[Path, HeldMask]]:
    """Return the masks on disk to which exposures are added."""
    held: dict[ChipIdentity, tuple[Path, HeldMask]] = {}
    problems: list[str] = []
    for identity, of_one in gathered.items():
        try:
            found = find(identity, settings, pixels=pixels)
        except OutputError as error:
            problems += error.problems
            continue
        there = {record.key for record in found[1].records} if found else set()
        if any(r.used and r.in_table().key in there for r in of_one.records):
            raise OvertakenError
        if found and found[1].has_counts and not of_one.mask.keeps_counts:
            raise OvertakenError
        if not there.issuperset(record.key for record in of_one.known):
            name = printable(found[0] if found else documented_name(identity, settings.prefix))
            problems.append(
                f"{name}: another run has replaced it meanwhile, without exposures of this "
                "one; run again"
            )
        elif found:
            held[identity] = found
    if problems:
        raise OutputError(*problems)
    return held


def _joined(of_one: Gathered, old: HeldMask) -> list[ChipRecord]:
    """Add a mask on disk to what was gathered; return its records as they are now."""
    if old.bits is None:
        return list(old.records)
    additions = of_one.mask.add_held(
        old.bits, [record.alone for record in old.records], count_chips(old.records), old.counts
    )
    alone = of_one.mask.alone()
    return [
        replace(record, alone=alone[number])
        for record, number in zip(old.records, additions, strict=True)
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
            judgement=p.judgement,
            pixels=p.mask if pixels else None,
        )
        for identity, p in planned.items()
    )
    return tuple(sorted(masks, key=lambda mask: mask.path))


def _names(
    identities: Iterable[ChipIdentity],
    kept: Mapping[ChipIdentity, str],
    folder: Path,
    prefix: str | None,
    notes: list[str],
) -> dict[ChipIdentity, str]:
    """Name the masks; those in `kept` have their names.

    `notes` grows by a warning for every new name that is not the documented one.
    """
    taken = {i: other_identity(folder / documented_name(i, prefix), i) for i in identities}
    names = mask_names(taken, prefix) | dict(kept)
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
        if (other := other_identity(folder / name, identity)) is not None:
            raise OutputError(f"{printable(folder / name)}: is the mask of {other}; move it away")
    if len(set(names.values())) < len(names):
        raise OutputError("two chips would get the same mask file; use different folders")
    return names
