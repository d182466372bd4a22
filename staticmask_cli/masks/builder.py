"""Accumulating the bad pixels of chips in one mask. Arrays in, arrays out; no files.

A pixel is bad in the mask if it is bad in enough exposures, by default in one. Pixels
are stored as packed bits (`numpy.packbits`), as in `statistics.votes`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.masks.static_mask import StaticMask, Votes
from staticmask_cli.settings import ONCE, MinExposures, Recipe
from staticmask_cli.statistics.votes import BitCounter, Bits, is_set, pack, positions


class MaskBuilder:
    """Accumulates the bad pixels of one identity.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the mask.
    min_exposures : MinExposures
        Number or share of the exposures in which a pixel must be bad.
    counts : bool
        Whether the mask's file stores counts.

    Attributes
    ----------
    keeps_counts : bool
        The parameter `counts`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        min_exposures: MinExposures = ONCE,
        *,
        counts: bool = False,
    ) -> None:
        self.keeps_counts = counts
        self._shape = shape
        self._min_exposures = min_exposures
        # Bad in at least one exposure, and in at least two.
        self._once: Bits = np.zeros((shape[0] * shape[1] + 7) // 8, dtype=np.uint8)
        self._twice: Bits = np.zeros_like(self._once)
        # The pixels that each addition was the first to make bad: each is in exactly one.
        self._first: list[NDArray[np.uint32]] = []
        self._bad = BitCounter() if counts or min_exposures != ONCE else None
        self._not_finite = BitCounter()
        self._n_chips = 0

    def add(self, bad: Bits, not_finite: Bits | None = None) -> int:
        """Add one chip; the mask does not depend on the order of additions.

        Parameters
        ----------
        bad : ndarray of uint8
            Its bad pixels, as bits.
        not_finite : ndarray of uint8 or None
            Its pixels that are not finite, as bits; None if all are finite.

        Returns
        -------
        int
            Number of the addition: its index in `unique`.
        """
        self._n_chips += 1
        if self._bad is not None:
            self._bad.add(bad)
            if not_finite is not None:
                self._not_finite.add(not_finite)
        self._twice |= self._once & bad
        self._first.append(positions(bad & ~self._once))
        self._once |= bad
        return len(self._first) - 1

    def add_mask(self, mask: StaticMask, unique: Sequence[NDArray[np.uint32]]) -> list[int]:
        """Add an existing mask of other chips.

        Parameters
        ----------
        mask : StaticMask
            The mask; it must have counts if this one keeps them.
        unique : sequence of ndarray of uint32
            For each chip of the mask, the pixels that are bad only in it.

        Returns
        -------
        list of int
            Numbers of additions, one for each of `unique`.
        """
        bad, n_chips = mask.bits, len(unique)
        self._n_chips += n_chips
        if mask.votes is not None:
            blocks = mask.votes.blocks(mask.total)
            bad = np.concatenate([pack(count > 0) for count, _ in blocks])
            if self._bad is not None:
                self._bad.add_counter(mask.votes.bad)
                self._not_finite.add_counter(mask.votes.not_finite)
        # Pixels that are unique to no chip of that mask are bad in several.
        shared = bad.copy()
        for places in unique:
            np.bitwise_and.at(shared, places >> 3, ~(128 >> (places & 7)).astype(np.uint8))
        begin = len(self._first)
        self._first += [places[~is_set(self._once, places)] for places in unique]
        self._twice |= shared | (self._once & bad)
        self._once |= bad
        return list(range(begin, len(self._first)))

    def unique(self) -> list[NDArray[np.uint32]]:
        """Return, for each addition, the flat indices of the pixels that are bad only in it."""
        return [places[~is_set(self._twice, places)] for places in self._first]

    def build(
        self,
        identity: ChipIdentity | None = None,
        recipe: Recipe | None = None,
        records: Sequence[ChipRecord] = (),
    ) -> StaticMask:
        """Return the mask of all additions so far, with its identity, recipe and records."""
        votes = None
        if self._bad is not None:
            votes = Votes(bad=self._bad, not_finite=self._not_finite, n_chips=self._n_chips)
        return StaticMask(
            shape=self._shape,
            bits=self._once if votes is None else self._bits(votes),
            identity=identity,
            recipe=recipe,
            records=tuple(records),
            votes=votes,
            keeps_counts=self.keeps_counts,
        )

    def _bits(self, votes: Votes) -> Bits:
        """Return the pixels that are bad in enough exposures."""
        if self._min_exposures == ONCE:
            return self._once
        # By the coverage of a pixel.
        least = np.array([self._min_exposures.needed(n) for n in range(self._n_chips + 1)])
        blocks = votes.blocks(self._shape[0] * self._shape[1])
        return np.concatenate([pack(count >= least[coverage]) for count, coverage in blocks])
