"""Accumulating the bad pixels of chips in one mask. Arrays in, arrays out; no files.

A pixel is bad in the mask if it is bad in enough exposures, by default in one. Pixels
are stored as packed bits (`numpy.packbits`), as in `statistics.votes`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.records import Records
from staticmask_cli.masks.static_mask import StaticMask, Votes
from staticmask_cli.settings import ONCE, MinExposures, Recipe
from staticmask_cli.statistics.votes import BitCounter, Bits, bits_of, is_set, pack, positions

# Type of `ChipRecord.pixel_hash`, by which the owners of pixels are known.
_HASH = "S32"


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
        # Bad in at least one exposure, and known to be bad in at least two.
        self._once: Bits = np.zeros((shape[0] * shape[1] + 7) // 8, dtype=np.uint8)
        self._twice: Bits = np.zeros_like(self._once)
        # Pixels that were bad only in one chip of an addition: the hashes of its chips, the
        # number of pixels of each, and the pixels.
        self._only: list[tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.uint32]]] = []
        self._n_only = 0
        self._n_only_reduced = 0
        self._bad = BitCounter() if counts or min_exposures != ONCE else None
        self._not_finite = BitCounter()
        self._n_chips = 0

    def add(self, bad: Bits, not_finite: Bits | None, pixel_hash: str) -> None:
        """Add one chip that no addition has; the mask does not depend on their order.

        Parameters
        ----------
        bad : ndarray of uint8
            Its bad pixels, as bits.
        not_finite : ndarray of uint8 or None
            Its pixels that are not finite, as bits; None if all are finite.
        pixel_hash : str
            Its `ChipRecord.pixel_hash`.
        """
        self._n_chips += 1
        if self._bad is not None:
            self._bad.add(bad)
            if not_finite is not None:
                self._not_finite.add(not_finite)
        self._twice |= self._once & bad
        places = positions(bad & ~self._once)
        self._once |= bad
        self._add_only(np.array([pixel_hash], _HASH), np.array([places.size]), places)

    def add_mask(self, mask: StaticMask) -> None:
        """Add a mask.

        Parameters
        ----------
        mask : StaticMask
            The mask; it must have counts if this one keeps them, and then no chip of an
            earlier addition. Otherwise a chip in several additions counts once.
        """
        bad = mask.bits
        records = mask.records
        self._n_chips += records.n_chips
        if mask.votes is not None:
            blocks = mask.votes.blocks(mask.total)
            bad = np.concatenate([pack(count > 0) for count, _ in blocks])
            if self._bad is not None:
                self._bad.add_counter(mask.votes.bad)
                self._not_finite.add_counter(mask.votes.not_finite)
        # Pixels that are unique to no chip of that mask are bad in several.
        self._twice |= bad & ~bits_of(records.unique, bad.size)
        self._once |= bad
        self._add_only(records.rows["pixel_hash"].astype(_HASH), records.sizes, records.unique)

    def _add_only(
        self, hashes: NDArray[np.bytes_], sizes: NDArray[np.int64], places: NDArray[np.uint32]
    ) -> None:
        """Add pixels that are bad in one chip of an addition, and drop those of several.

        So the memory that they take depends on the number of pixels, not of additions.
        """
        self._only.append((hashes, sizes, places))
        self._n_only += places.size
        if self._n_only >= 2 * max(self._n_only_reduced, 8 * self._once.size):
            owners, owner, places = self._reduced()
            order = np.argsort(owner, kind="stable")
            sizes = np.bincount(owner, minlength=owners.size)
            self._only = [(owners, sizes, places[order])]
            self._n_only = self._n_only_reduced = places.size

    def _reduced(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.uint32]]:
        """Return the pixels that are bad in one chip: hashes, numbers of their hashes, pixels."""
        nothing = (np.empty(0, _HASH), np.empty(0, np.int64), np.empty(0, np.uint32))
        hashes, sizes, places = map(np.concatenate, zip(nothing, *self._only, strict=True))
        owners, owner = np.unique(hashes[sizes > 0], return_inverse=True)
        owner = np.repeat(owner, sizes[sizes > 0])
        alone = ~is_set(self._twice, places)
        order = np.lexsort((owner[alone], places[alone]))
        owner, places = owner[alone][order], places[alone][order]
        # An owner may be in several additions; a pixel of several owners is unique to none.
        _, first, last = np.unique(places, return_index=True, return_counts=True)
        last += first - 1
        is_unique = owner[first] == owner[last]
        self._twice |= bits_of(places[first[~is_unique]], self._once.size)
        first = first[is_unique]
        return owners, owner[first], places[first]

    def _with_unique(self, records: Records) -> Records:
        """Return the records of all additions with the pixels that are bad only in each."""
        owners, owner, places = self._reduced()
        used = np.flatnonzero(records.rows["used"])
        listed, first, number = np.unique(
            records.rows["pixel_hash"][used], return_index=True, return_counts=True
        )
        # Chips with equal hashes have the same bad pixels.
        once = number == 1
        _, of_owner, of_listed = np.intersect1d(owners, listed[once], True, True)
        row_of = np.full(owners.size, -1)
        row_of[of_owner] = used[first[once][of_listed]]
        row = row_of[owner]
        order = np.argsort(row, kind="stable")
        order = order[row[order] >= 0]
        sizes = np.bincount(row[order], minlength=len(records))
        return Records(records.rows, records.ccdchip, places[order], sizes)

    def build(
        self,
        identity: ChipIdentity | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
    ) -> StaticMask:
        """Return the mask of all additions so far.

        Parameters
        ----------
        identity, recipe
            As in `StaticMask`.
        records : Records, optional
            The records of all additions, as `merged` returns them.
        """
        votes = None
        if self._bad is not None:
            votes = Votes(bad=self._bad, not_finite=self._not_finite, n_chips=self._n_chips)
        return StaticMask(
            shape=self._shape,
            bits=self._once if votes is None else self._bits(votes),
            identity=identity,
            recipe=recipe,
            records=self._with_unique(Records.of() if records is None else records),
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


def joined(
    builder: MaskBuilder,
    masks: Iterable[StaticMask],
    identity: ChipIdentity,
    recipe: Recipe,
    records: Records,
) -> StaticMask:
    """Return the mask of the chips that were added to a builder and of existing masks.

    Parameters
    ----------
    builder : MaskBuilder
        The chips.
    masks : iterable of StaticMask
        The masks; each is needed only until the next one.
    identity, recipe
        As in `StaticMask`.
    records : Records
        The records of all of them, as `merged` returns them.
    """
    for mask in masks:
        builder.add_mask(mask)
        del mask
    return builder.build(identity, recipe, records)
