"""Bad pixels of chips to one mask: a pixel is bad that is bad often enough, by default once.

Arrays in, arrays out; nothing here knows of files. Masks on the way are kept
as bits, eight pixels to a byte, as `numpy.packbits` orders them: that is what
travels between workers and what is added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.settings import ONCE, MinExposures
from staticmask_cli.statistics.votes import BitCounter, Bits, is_set, pack, positions


class MaskAccumulator:
    """Adds up the bad pixels of one identity.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the mask.
    min_exposures : MinExposures
        In how many exposures a pixel must be bad.
    counts : bool
        Whether `count` and `coverage` belong to what it makes.

    Attributes
    ----------
    shape : tuple of int
    keeps_counts : bool
        The parameters `shape` and `counts`.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        min_exposures: MinExposures = ONCE,
        *,
        counts: bool = False,
    ) -> None:
        self.shape = shape
        self.keeps_counts = counts
        self._size = shape[0] * shape[1]
        self._min_exposures = min_exposures
        # Bad in one exposure at least, and in two.
        self._once: Bits = np.zeros((self._size + 7) // 8, dtype=np.uint8)
        self._twice: Bits = np.zeros_like(self._once)
        # What each addition found first: every pixel that is bad once is in one of them.
        self._first: list[NDArray[np.uint32]] = []
        self._counts = BitCounter() if counts or min_exposures != ONCE else None
        self._unseen = BitCounter()
        self._seen = 0
        self._decided: Bits | None = None

    def add(self, bad: Bits, unseen: Bits | None = None) -> int:
        """Add one chip; the order of additions does not matter to the mask.

        Parameters
        ----------
        bad : ndarray of uint8
            Its bad pixels as bits.
        unseen : ndarray of uint8 or None
            Its pixels that are not finite, as bits; None if all are finite.

        Returns
        -------
        int
            Number of the addition: its place in `alone`.
        """
        self._decided = None
        self._seen += 1
        if self._counts is not None:
            self._counts.add(bad)
            if unseen is not None:
                self._unseen.add(unseen)
        self._twice |= self._once & bad
        self._first.append(positions(bad & ~self._once))
        self._once |= bad
        return len(self._first) - 1

    def add_mask(
        self,
        bad: Bits,
        alone: Sequence[NDArray[np.uint32]],
        seen: int,
        counts: tuple[NDArray[Any], NDArray[Any]] | None,
    ) -> list[int]:
        """Add a mask that was made before, of other chips.

        Parameters
        ----------
        bad : ndarray of uint8
            Its bad pixels as bits.
        alone : sequence of ndarray of uint32
            As `alone` returned them then.
        seen : int
            How many chips went into it.
        counts : tuple of ndarray, or None
            Its count and its coverage; needed if this one counts.

        Returns
        -------
        list of int
            Numbers of additions, one for each of `alone`.
        """
        self._decided = None
        self._seen += seen
        if counts is not None:
            count, coverage = counts
            bad = pack(count.reshape(-1) > 0)
            if self._counts is not None:
                self._counts.add_counts(count.astype(np.uint32))
                self._unseen.add_counts(np.uint32(seen) - coverage.astype(np.uint32))
        # What no chip of that mask has alone, several have.
        shared = bad.copy()
        for places in alone:
            np.bitwise_and.at(shared, places >> 3, ~(128 >> (places & 7)).astype(np.uint8))
        begin = len(self._first)
        self._first += [places[~is_set(self._once, places)] for places in alone]
        self._twice |= shared | (self._once & bad)
        self._once |= bad
        return list(range(begin, len(self._first)))

    @property
    def bits(self) -> Bits:
        """The bad pixels as bits."""
        if self._counts is None or self._min_exposures == ONCE:
            return self._once
        if self._decided is None:
            votes = self._min_exposures
            if votes.share is not None:
                table = [votes.needed(coverage) for coverage in range(self._seen + 1)]
                least: Any = np.array(table, dtype=np.uint32)[self.coverage()]
            else:
                least = votes.number
            self._decided = pack(self.count() >= least)
        return self._decided

    @property
    def bad(self) -> int:
        """Number of bad pixels."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    def mask(self) -> NDArray[np.int16]:
        """Return the mask: 1 good, 0 bad; big-endian, as FITS files hold it."""
        good = np.unpackbits(~self.bits, count=self._size)
        return good.astype(">i2").reshape(self.shape)

    def alone(self) -> list[NDArray[np.uint32]]:
        """Return, of each addition, the places of the pixels that no other one called bad."""
        return [places[~is_set(self._twice, places)] for places in self._first]

    def contains(self, places: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Tell of some pixels which are bad."""
        return is_set(self.bits, places)

    def count(self) -> NDArray[np.uint32]:
        """Return how often each pixel was bad."""
        if self._counts is None:
            raise ValueError("this accumulator does not count")
        return self._counts.counts(self._size).reshape(self.shape)

    def seen_how_often(self) -> dict[int, int]:
        """Return how many pixels have each value of `coverage`."""
        numbers, pixels = np.unique(self.coverage(), return_counts=True)
        return dict(zip(numbers.tolist(), pixels.tolist(), strict=True))

    def coverage(self) -> NDArray[np.uint32]:
        """Return how often each pixel was seen: in how many chips it holds a number."""
        return (np.uint32(self._seen) - self._unseen.counts(self._size)).reshape(self.shape)
