"""Finding the mask of a chip among masks of detectors and parts of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.fits_files import scan
from staticmask_cli.exposures.headers import as_word
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.static_mask import StaticMask


class Matched(NamedTuple):
    """The mask of a chip.

    Attributes
    ----------
    path : Path
        File of the mask.
    datasum : str
        Its DATASUM; empty if missing.
    bad : ndarray of bool
        The bad pixels of the chip, rows x columns, True for bad; the mask is cut to the
        region of the chip.
    """

    path: Path
    datasum: str
    bad: NDArray[np.bool_]


class _Read(NamedTuple):
    """A mask that was read, and the silicon that it belongs to."""

    path: Path
    datasum: str
    identity: ChipIdentity
    mask: StaticMask


class MaskSet:
    """Masks of any chips, to be matched with exposures.

    Parameters
    ----------
    entries : iterable of str
        Masks, patterns, or folders of masks.

    Raises
    ------
    InputError
        If masks are missing, cannot be read or do not record their chip. None is left
        out: a larger one would take its place.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        paths, unresolved = resolve_masks(entries)
        self._masks: list[_Read] = []
        problems = list(unresolved)
        for path in paths:
            try:
                mask = StaticMask.read(path)
                datasum = as_word(scan(path)[0][0].header, "DATASUM")
            except InputError as error:
                problems += error.problems
                continue
            if mask.identity is None:
                problems.append(f"{path}: does not record its chip; make it with staticmask")
            else:
                self._masks.append(_Read(path, datasum, mask.identity, mask))
        if problems:
            raise InputError(*problems)

    def of(self, identity: ChipIdentity) -> Matched:
        """Return the smallest mask that covers a chip.

        Raises
        ------
        ValueError
            If no mask covers it, or several of the same size do; the message is the reason.
        """
        same = [one for one in self._masks if _silicon(one.identity) == _silicon(identity)]
        if not same:
            raise ValueError(f"no mask of {identity}")
        covering = [
            (one, corner) for one in same if (corner := _corner(one.identity, identity)) is not None
        ]
        if not covering:
            raise ValueError(f"no mask covers {identity}: {_names(same)}")
        size = min(one.mask.total for one, _ in covering)
        smallest = [found for found in covering if found[0].mask.total == size]
        if len(smallest) > 1:
            names = _names(one for one, _ in smallest)
            raise ValueError(f"several masks of the same size cover {identity}: {names}")
        ((found, (x, y)),) = smallest
        bad = found.mask.bad[y : y + identity.rows, x : x + identity.columns]
        return Matched(found.path, found.datasum, bad)


def _names(masks: Iterable[_Read]) -> str:
    return ", ".join(str(one.path) for one in masks)


def _silicon(identity: ChipIdentity) -> tuple[object, ...]:
    """Return what must be equal for a mask of another region to be used."""
    return (
        *(identity.instrument, identity.detector, identity.number),
        *(identity.xbin, identity.ybin),
    )


def _corner(mask: ChipIdentity, chip: ChipIdentity) -> tuple[int, int] | None:
    """Return column and row of a chip's corner in a mask; None if the mask does not cover it."""
    x, x_rest = divmod(chip.x0 - mask.x0, chip.xbin)
    y, y_rest = divmod(chip.y0 - mask.y0, chip.ybin)
    is_inside = min(x, y) >= 0 and x + chip.columns <= mask.columns and y + chip.rows <= mask.rows
    return (x, y) if is_inside and not x_rest and not y_rest else None
