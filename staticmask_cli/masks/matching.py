"""The mask that covers a chip, and the part of it that belongs to that chip."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.fits_files import scan
from staticmask_cli.exposures.headers import as_word
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.fits_form import read_any
from staticmask_cli.masks.records import file_text
from staticmask_cli.masks.static_mask import StaticMask


class NamedMask(NamedTuple):
    """A mask with the name and DATASUM of its file, and the silicon that it belongs to."""

    name: str
    datasum: str
    identity: ChipIdentity
    mask: StaticMask


def read_named(path: Path) -> NamedMask:
    """Read a mask.

    Raises
    ------
    InputError
        If it is not a mask, is damaged or does not record its chip.
    """
    mask = read_any(path)
    if mask.identity is None:
        raise InputError(f"{path}: does not record its chip; give masks of staticmask")
    datasum = as_word(scan(path)[0][0].header, "DATASUM")
    return NamedMask(file_text(path.name), datasum, mask.identity, mask)


def covering(masks: Iterable[NamedMask], chip: ChipIdentity) -> NamedMask:
    """Return the smallest mask that covers a chip.

    Raises
    ------
    ValueError
        If there is none, or several; the message is the reason.
    """
    same = [one for one in masks if _is_same_silicon(one.identity, chip)]
    if not same:
        raise ValueError(f"no mask is of {chip}")
    found = [one for one in same if _corner(one.identity, chip) is not None]
    if not found:
        names = ", ".join(one.name for one in same)
        raise ValueError(f"no mask covers {chip}; of that chip and binning: {names}")
    smallest = min(one.mask.total for one in found)
    best = [one for one in found if one.mask.total == smallest]
    if len(best) > 1:
        names = ", ".join(one.name for one in best)
        raise ValueError(f"several masks cover {chip}: {names}; give one of them")
    return best[0]


def bad_pixels(mask: NamedMask, chip: ChipIdentity) -> NDArray[np.int64]:
    """Return the bad pixels of a chip that a mask covers: 0-based row * columns + column."""
    corner = _corner(mask.identity, chip)
    if corner is None:
        raise ValueError(f"{mask.name} does not cover {chip}")
    x, y = corner
    return np.flatnonzero(mask.mask.bad[y : y + chip.rows, x : x + chip.columns])


def _is_same_silicon(mask: ChipIdentity, chip: ChipIdentity) -> bool:
    return all(
        getattr(mask, name) == getattr(chip, name)
        for name in ("instrument", "detector", "number", "xbin", "ybin")
    )


def _corner(mask: ChipIdentity, chip: ChipIdentity) -> tuple[int, int] | None:
    """Return column and row of a chip's corner in a mask; None if the mask does not cover it."""
    x, x_rest = divmod(chip.x0 - mask.x0, chip.xbin)
    y, y_rest = divmod(chip.y0 - mask.y0, chip.ybin)
    is_inside = min(x, y) >= 0 and x + chip.columns <= mask.columns and y + chip.rows <= mask.rows
    return (x, y) if is_inside and not x_rest and not y_rest else None
