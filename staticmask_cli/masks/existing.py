"""Masks on disk to which exposures are added: what they hold, and whether they may be."""

from __future__ import annotations

import os
from pathlib import Path

from staticmask_cli.errors import OutputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.dq_bits import good_bits
from staticmask_cli.exposures.instruments import DQ_BITS, ChipIdentity
from staticmask_cli.masks.held import REDO, HeldMask, is_empty, other_identity, read_held
from staticmask_cli.masks.naming import documented_name, possible_names
from staticmask_cli.masks.records import ChipRecord, as_text, file_text
from staticmask_cli.settings import Settings


class HeldMasks:
    """The masks in the output folder, each looked at once, when it is first needed.

    Parameters
    ----------
    settings : Settings
        Of the run, with which the masks must agree.

    Attributes
    ----------
    problems : list of str
        Why masks cannot be added to, a line each.
    """

    def __init__(self, settings: Settings) -> None:
        self.problems: list[str] = []
        self._settings = settings
        self._found: dict[ChipIdentity, tuple[Path, HeldMask] | None] = {}
        self._unmatched: dict[ChipIdentity, dict[tuple[str, int], list[ChipRecord]]] = {}

    def known(self, chip: Chip) -> ChipRecord | None:
        """Return the unmatched record of a chip with its name and headers, if there is one."""
        headers = chip.header_hash, as_text(chip.datasum)
        for record in () if chip.left_out else self.former(chip):
            if (record.header_hash, record.datasum) == headers:
                return record
        return None

    def former(self, chip: Chip) -> tuple[ChipRecord, ...]:
        """Return the unmatched records with a chip's name.

        Only the pixels can show whether one whose headers differ is of the same
        exposure.
        """
        rows = self._rows(chip.identity).get((file_text(chip.file), chip.extver), [])
        return tuple(rows)

    def take(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Match a record with an exposure: of two files with one name it is one's alone."""
        rows = self._rows(identity)[record.file, record.extver]
        rows[:] = [row for row in rows if row is not record]

    def give_back(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Undo `take`, for an exposure that turned out to be of no use."""
        self._rows(identity)[record.file, record.extver].append(record)

    def _rows(self, identity: ChipIdentity) -> dict[tuple[str, int], list[ChipRecord]]:
        """Return the records that give something and that no exposure of this run has matched."""
        if identity not in self._found:
            try:
                self._found[identity] = find(identity, self._settings, pixels=False)
            except OutputError as error:
                self._found[identity] = None
                self.problems += error.problems
            rows = self._unmatched[identity] = {}
            for record in self.records(identity):
                if record.gives:
                    rows.setdefault((record.file, record.extver), []).append(record)
        return self._unmatched[identity]

    def records(self, identity: ChipIdentity) -> tuple[ChipRecord, ...]:
        """Return the records of an identity's existing mask, as it was when first needed."""
        existing = self.held(identity)
        return existing.records if existing else ()

    def held(self, identity: ChipIdentity) -> HeldMask | None:
        """Return the mask of an identity, as it was when it was first needed."""
        found = self._found.get(identity)
        return found[1] if found else None


def find(
    identity: ChipIdentity, settings: Settings, *, pixels: bool
) -> tuple[Path, HeldMask] | None:
    """Find the mask on disk to which exposures of an identity can be added.

    Returns
    -------
    tuple or None
        Its path and what it holds; None if there is none yet.

    Raises
    ------
    OutputError
        If what stands there cannot be added to.
    """
    folder = Path(settings.output_dir)
    documented = folder / documented_name(identity, settings.prefix)
    # One that had to share its documented name got a longer one, and keeps it.
    for path in (folder / name for name in possible_names(identity, settings.prefix)):
        if not os.path.lexists(path):
            continue
        if is_empty(path) or (settings.overwrite and is_no_mask(path, identity)):
            continue
        other = other_identity(path, identity)
        if other is None:
            held = read_held(path, pixels=pixels)
            _check_settings(path, held, settings)
            return path, held
        if path == documented:
            raise OutputError(
                f"{path}: is the mask of {other}, not of {identity}; "
                "--no-update makes a mask beside it"
            )
    for name in possible_names(identity, settings.prefix):
        packed = folder / f"{name}.gz"
        if os.path.lexists(packed):
            raise OutputError(f"{packed}: is gzipped; unpack it so that it can be updated")
    return None


def is_no_mask(path: Path, identity: ChipIdentity) -> bool:
    """Return whether a file is not a static mask and may be replaced."""
    if is_empty(path):
        return True
    try:
        other_identity(path, identity)
    except OutputError:
        return other_identity(path, identity, overwrite=True) is None
    return False


def _check_settings(path: Path, held: HeldMask, settings: Settings) -> None:
    """Refuse a mask that was made with settings that give other pixels."""
    names = DQ_BITS.get(held.identity.instrument, {})
    made, wanted = held.recipe, settings.recipe
    differ = []
    if made.static_sig != wanted.static_sig:
        differ.append(f"static_sig {made.static_sig:.12g}, not {wanted.static_sig:.12g}")
    if _bits(made.final_bits, names) != _bits(wanted.final_bits, names):
        differ.append(f"final_bits {made.final_bits}, not {wanted.final_bits}")
    if made.group != wanted.group:
        differ.append(f"group {made.group}, not {wanted.group}")
    if made.include_empty != wanted.include_empty:
        differ.append(f"include_empty {made.include_empty}, not {wanted.include_empty}")
    if made.min_exposures != wanted.min_exposures:
        differ.append(f"min_exposures {made.min_exposures}, not {wanted.min_exposures}")
    if made.allow_duplicates != wanted.allow_duplicates:
        differ.append(f"allow_duplicates {made.allow_duplicates}, not {wanted.allow_duplicates}")
    if settings.keeps_counts and not held.has_counts:
        differ.append("no counts")
    if differ:
        raise OutputError(f"{path}: was made with {'; '.join(differ)}; {REDO}")


def _bits(text: str, names: dict[str, int]) -> int | None:
    """Return good bits as a number, so that 64,32 is the same as 96."""
    if text == "None":
        return None
    try:
        return good_bits(text, names)
    except ValueError:  # a name that this instrument does not have: told where chips are opened
        return -1
