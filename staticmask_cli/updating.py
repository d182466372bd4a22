"""Masks on disk to which exposures are added: what they hold, and whether they may be."""

from __future__ import annotations

import os
from pathlib import Path

from staticmask_cli.chips import Chip
from staticmask_cli.dqbits import good_bits
from staticmask_cli.errors import OutputError, printable
from staticmask_cli.held import REDO, HeldMask, other_identity, read_held
from staticmask_cli.instruments import DQ_BITS, ChipIdentity
from staticmask_cli.naming import documented_name, possible_names
from staticmask_cli.records import ChipRecord, as_text
from staticmask_cli.settings import Settings, as_number


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

    def known(self, path: Path, chip: Chip) -> ChipRecord | None:
        """Return what a mask holds of a chip already; None if it is new.

        Parameters
        ----------
        path : Path
            The exposure, for messages.
        chip : Chip
            One of its chips.
        """
        if chip.identity not in self._found:
            try:
                self._found[chip.identity] = find(chip.identity, self._settings, pixels=False)
            except OutputError as error:
                self._found[chip.identity] = None
                self.problems += error.problems
        found = self._found[chip.identity]
        if found is None:
            return None
        mask, held = found
        file, datasum = as_text(chip.file), as_text(chip.datasum)
        same_name = False
        for record in held.records:
            if (record.file, record.extver) == (file, chip.extver) and not record.failed:
                same_name = True
                if (record.header_hash, record.datasum) == (chip.header_hash, datasum):
                    return record
        if same_name:
            self.problems.append(
                f"{printable(path)}: SCI,{chip.extver}: has changed since it was added to "
                f"{printable(mask)}: its header is another; {REDO}"
            )
        return None

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
        other = other_identity(path, identity)
        if other is None:
            held = read_held(path, pixels=pixels)
            _check_settings(path, held, settings)
            return path, held
        if path == documented:
            raise OutputError(
                f"{printable(path)}: is the mask of {other}, not of {identity}; "
                "--no-update makes a mask beside it"
            )
    return None


def _check_settings(path: Path, held: HeldMask, settings: Settings) -> None:
    """Refuse a mask that was made with settings that give other pixels."""
    names = DQ_BITS.get(held.identity.instrument, {})
    made, wanted = held.recipe, settings.recipe
    differ = []
    if made.static_sig != wanted.static_sig:
        differ.append(f"static_sig {made.static_sig:g}, not {wanted.static_sig:g}")
    if _bits(made.final_bits, names) != _bits(wanted.final_bits, names):
        differ.append(f"final_bits {made.final_bits}, not {wanted.final_bits}")
    if made.group != wanted.group:
        differ.append(f"group {made.group}, not {wanted.group}")
    if made.include_empty != wanted.include_empty:
        differ.append(f"include_empty {made.include_empty}, not {wanted.include_empty}")
    if made.min_exposures != wanted.min_exposures:
        votes = (as_number(recipe.min_exposures) for recipe in (made, wanted))
        differ.append("min_exposures {:g}, not {:g}".format(*votes))
    if settings.keeps_counts and not held.has_counts:
        differ.append("no counts")
    if differ:
        raise OutputError(
            f"{printable(path)}: was made with {printable('; '.join(differ))}; {REDO}"
        )


def _bits(text: str, names: dict[str, int]) -> int | None:
    """Return good bits as a number, so that 64,32 is the same as 96."""
    if text == "None":
        return None
    try:
        return good_bits(text, names)
    except ValueError:  # a name that this instrument does not have: told where chips are opened
        return -1
