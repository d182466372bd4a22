"""Existing masks: their identity, and whether exposures can be added to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.dq_bits import good_bits
from staticmask_cli.exposures.fits_files import open_fits, scan
from staticmask_cli.exposures.instruments import DQ_BITS, ChipIdentity
from staticmask_cli.masks.fits_form import (
    MaskFormError,
    MaskTable,
    identity_of,
    read_mask,
    read_table,
)
from staticmask_cli.masks.naming import documented_name, possible_names
from staticmask_cli.masks.records import ChipRecord, Records, file_text
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import Recipe, Settings

#: Advice if exposures cannot be added to a mask.
REDO = "--no-update rebuilds it from the given exposures"
# Advice if a mask cannot be recounted.
_REMAKE = "rerun with --counts"
_RECOUNT_FIRST = "recount the mask of the exposures, and edit that"

_Read = TypeVar("_Read", MaskTable, StaticMask)


class ExistingMasks:
    """The masks in the output folder, each read once, when it is first needed.

    Parameters
    ----------
    settings : Settings
        The settings of the run, with which the masks must agree.

    Attributes
    ----------
    problems : list of str
        Why masks cannot be updated, one line each.
    """

    def __init__(self, settings: Settings) -> None:
        self.problems: list[str] = []
        self._settings = settings
        self._found: dict[ChipIdentity, tuple[Path, MaskTable] | None] = {}
        self._unmatched: dict[tuple[ChipIdentity, str, int], list[ChipRecord]] = {}

    def known(self, chip: Chip) -> ChipRecord | None:
        """Return the unmatched record with the name and headers of a chip; None if missing."""
        former = () if chip.skipped else self.former(chip)
        return next((r for r in former if r.header_hash == chip.header_hash), None)

    def former(self, chip: Chip) -> tuple[ChipRecord, ...]:
        """Return the unmatched records with a chip's name.

        If its headers differ, only the pixels show whether it is the same exposure.
        """
        return tuple(self._rows(chip.identity, file_text(chip.file), chip.extver))

    def take(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Match a record with an exposure, so that no other file of that name matches it."""
        rows = self._rows(identity, record.file, record.extver)
        rows[:] = [row for row in rows if row is not record]

    def give_back(self, identity: ChipIdentity, record: ChipRecord) -> None:
        """Undo `take`, for an exposure that cannot be used after all."""
        self._rows(identity, record.file, record.extver).append(record)

    def _rows(self, identity: ChipIdentity, file: str, extver: int) -> list[ChipRecord]:
        """Return the contributing records of a name that no exposure of this run has matched."""
        if identity not in self._found:
            try:
                self._found[identity] = find(identity, self._settings)
            except OutputError as error:
                self._found[identity] = None
                self.problems += error.problems
        name = identity, file, extver
        if name not in self._unmatched:
            named = self.records(identity).named(file)
            self._unmatched[name] = [r for r in named if r.extver == extver and r.gives]
        return self._unmatched[name]

    def records(self, identity: ChipIdentity) -> Records:
        """Return the records of an identity's existing mask, as it was when first needed."""
        table = self.table(identity)
        return table.records if table else Records.of()

    def table(self, identity: ChipIdentity) -> MaskTable | None:
        """Return the table of an identity's existing mask, as it was when first needed."""
        found = self._found.get(identity)
        return found[1] if found else None


def find(identity: ChipIdentity, settings: Settings) -> tuple[Path, MaskTable] | None:
    """Find the existing mask to which exposures of an identity can be added.

    Returns
    -------
    tuple or None
        Its path and table; None if none exists yet.

    Raises
    ------
    OutputError
        If exposures cannot be added to the file of that name.
    """
    folder = Path(settings.output_dir)
    documented = folder / documented_name(identity, settings.prefix)
    # A mask that got a longer name, because its documented name was taken, keeps it.
    for path in (folder / name for name in possible_names(identity, settings.prefix)):
        if not os.path.lexists(path):
            continue
        if may_be_replaced(path, identity, overwrite=settings.overwrite):
            continue
        other = other_identity(path, identity)
        if other is None:
            table = _read(read_table, path, REDO)
            _check_settings(path, table, settings)
            return path, table
        if path == documented:
            raise OutputError(
                f"{path}: is the mask of {other}, not of {identity}; "
                "--no-update writes a mask with a longer name"
            )
    for name in possible_names(identity, settings.prefix):
        packed = folder / f"{name}.gz"
        if os.path.lexists(packed):
            raise OutputError(f"{packed}: is gzipped; unpack it so that it can be updated")
    return None


def may_be_replaced(path: Path, identity: ChipIdentity, *, overwrite: bool) -> bool:
    """Return whether a file is empty or, with `overwrite`, is not a static mask."""
    if is_empty(path):
        return True
    if not overwrite:
        return False
    try:
        other_identity(path, identity)
    except OutputError:
        return other_identity(path, identity, overwrite=True) is None
    return False


def _check_settings(path: Path, table: MaskTable, settings: Settings) -> None:
    """Refuse a mask that was made with other settings that determine its pixels."""
    if table.recipe is None or table.edits:
        how = table.edits[0].participle
        raise OutputError(
            f"{path}: was {how}, so exposures cannot be added to it; make their mask in another "
            "folder, and join the two with 'staticmask edit --or'"
        )
    differ = differences(table.recipe, settings.recipe, table.identity)
    if settings.keeps_counts and not table.has_counts:
        differ.append("no counts")
    if differ:
        raise OutputError(f"{path}: was made with {'; '.join(differ)}; {REDO}")


def differences(recipe: Recipe, wanted: Recipe, identity: ChipIdentity) -> list[str]:
    """Return the settings in which the recipe of a mask differs, such as ``group None, not 1``."""
    names = DQ_BITS.get(identity.instrument, {})
    differ = []
    for name in Recipe._fields:
        values = [getattr(one, name) for one in (recipe, wanted)]
        made, meant = (_bits(v, names) for v in values) if name == "final_bits" else values
        if made != meant:
            shown = [f"{v:.12g}" if isinstance(v, float) else str(v) for v in values]
            differ.append(f"{name} {', not '.join(shown)}")
    return differ


def _bits(text: str | None, names: dict[str, int]) -> int | None:
    """Return good bits as a number, so that 64,32 equals 96."""
    if text is None:
        return None
    try:
        return good_bits(text, names)
    except ValueError:  # a name that this instrument lacks, reported when chips are opened
        return -1


def other_identity(
    path: Path, identity: ChipIdentity, *, overwrite: bool = False
) -> ChipIdentity | None:
    """Return the identity of an existing mask, if it differs from `identity`.

    Parameters
    ----------
    path : Path
        The file, which may be missing.
    identity : ChipIdentity
        Identity of the mask to be written to `path`.
    overwrite : bool
        Whether a file that is not a mask may be replaced.

    Returns
    -------
    ChipIdentity or None
        None if the file is missing, may be replaced, is a mask of `identity`,
        or a bare mask of its shape, such as DrizzlePac's.

    Raises
    ------
    OutputError
        If the file is not a mask and must not be replaced.
    """
    if not os.path.lexists(path):
        return None
    try:
        if is_empty(path):
            return None
        with open_fits(path, most=1) as (hdus, _):
            header = hdus[0].header
            shape = header.get("NAXIS2"), header.get("NAXIS1")
            if "CREATOR" not in header and shape == identity.shape:
                return None
            found = identity_of(header)
    except (InputError, FileNotFoundError, MaskFormError) as error:
        if not os.path.lexists(path):  # removed in the meantime
            return None
        # An unreadable file may be a mask; an exposure may be the only copy.
        is_readable = path.is_file() and os.access(path, os.R_OK)
        is_replaceable = is_readable and not _is_exposure(path)
        if overwrite and is_replaceable:
            return None
        hint = "use --overwrite to replace it" if is_replaceable else "move it away"
        reason = f"{path}: exists but is not a static mask of this shape"
        problems = error.problems if isinstance(error, InputError) else (reason,)
        raise OutputError(*(f"{problem}; {hint}" for problem in problems)) from None
    return found if found != identity else None


def was_edited(path: Path) -> bool:
    """Return whether a file is an edited or imported mask: its exposures do not bring it back."""
    if not path.is_file():
        return False
    try:
        with open_fits(path, most=1) as (hdus, _):
            return "CREATOR" in hdus[0].header and "HISTORY" in hdus[0].header
    except InputError:
        return False


def is_empty(path: Path) -> bool:
    """Return whether a file is empty, perhaps because of a full disk: it can be replaced."""
    return path.is_file() and path.stat().st_size == 0


def _is_exposure(path: Path) -> bool:
    try:
        return any(hdu.name == "SCI" for hdu in scan(path)[0])
    except InputError:
        return False


def read_existing(path: Path) -> StaticMask:
    """Read a mask to which exposures are added.

    Raises
    ------
    OutputError
        If it is not a mask of this program, or is damaged.
    """
    return _read(read_mask, path, REDO)


def read_counted(path: Path) -> StaticMask:
    """Read a mask to be recounted; errors as for `read_existing`, also if it has no counts."""
    mask = _read(read_mask, path, _REMAKE)
    if _read(read_table, path, _REMAKE).gzipped:
        raise OutputError(f"{path}: is gzipped; unpack it first")
    if mask.edits:
        how = mask.edits[0].participle
        raise OutputError(f"{path}: was {how}, so it cannot be recounted; {_RECOUNT_FIRST}")
    if mask.votes is None:
        raise OutputError(f"{path}: has no COUNT extension; {_REMAKE}")
    return mask


def _read(read: Callable[[Path], _Read], path: Path, hint: str) -> _Read:
    try:
        return read(path)
    except InputError as error:
        raise OutputError(*(f"{problem}; {hint}" for problem in error.problems)) from None
    except MaskFormError as error:
        raise OutputError(f"{path}: {error}; {hint}") from None
