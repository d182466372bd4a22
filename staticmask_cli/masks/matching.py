"""Finding the mask of a chip among masks of detectors and parts of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.static_mask import StaticMask


class Matched(NamedTuple):
    """The mask of a chip.

    Attributes
    ----------
    path : Path
        File of the mask.
    bad : ndarray of bool
        The bad pixels of the chip, rows x columns, True for bad; the mask is cut to the
        region of the chip.
    """

    path: Path
    bad: NDArray[np.bool_]


class MaskSet:
    """Masks of any chips, to be matched with exposures.

    Parameters
    ----------
    paths : iterable of Path
        The masks.

    Raises
    ------
    InputError
        If masks cannot be read or do not record their detector, or if several belong to
        the same silicon.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._masks: dict[ChipIdentity, tuple[Path, StaticMask]] = {}
        problems: list[str] = []
        for path in paths:
            try:
                mask = StaticMask.read(path)
            except InputError as error:
                problems += error.problems
                continue
            if mask.identity is None:
                problems.append(f"{path}: does not record its detector; make it with staticmask")
            elif mask.identity in self._masks:
                other, _ = self._masks[mask.identity]
                problems.append(f"{path}: is a mask of the same chip as {other}; give one of them")
            else:
                self._masks[mask.identity] = path, mask
        if problems:
            raise InputError(*problems)

    def of(self, identity: ChipIdentity) -> Matched:
        """Return the smallest mask that covers a chip.

        Raises
        ------
        InputError
            If no mask covers it; the message does not name the exposure.
        """
        same = [
            (one, *found)
            for one, found in self._masks.items()
            if _silicon(one) == _silicon(identity)
        ]
        if not same:
            raise InputError(f"no mask of {identity}")
        covering = [found for found in same if _covers(found[0], identity)]
        if not covering:
            names = ", ".join(str(path) for _, path, _ in same)
            raise InputError(f"no mask covers {identity}: {names}")
        one, path, mask = min(covering, key=lambda found: found[2].total)
        y, x = (identity.y0 - one.y0) // one.ybin, (identity.x0 - one.x0) // one.xbin
        return Matched(path, mask.bad[y : y + identity.rows, x : x + identity.columns])


def _silicon(identity: ChipIdentity) -> tuple[object, ...]:
    """Return what must be equal for a mask of another region to be used."""
    return (
        *(identity.instrument, identity.detector, identity.number),
        *(identity.xbin, identity.ybin),
    )


def _covers(mask: ChipIdentity, chip: ChipIdentity) -> bool:
    """Return whether a mask of the same silicon contains all pixels of a chip."""
    for corner, size, binning in (("x0", "columns", "xbin"), ("y0", "rows", "ybin")):
        step = getattr(chip, binning)
        offset = getattr(chip, corner) - getattr(mask, corner)
        if offset % step or not 0 <= offset // step <= getattr(mask, size) - getattr(chip, size):
            return False
    return True
