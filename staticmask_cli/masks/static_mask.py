"""The mask of one chip: its bad pixels, their origin, and the quality checks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.editing import Edit
from staticmask_cli.masks.records import Records
from staticmask_cli.settings import Recipe
from staticmask_cli.statistics.votes import BitCounter, Bits

if TYPE_CHECKING:
    from astropy.nddata import CCDData

    from staticmask_cli.masks.quality import Quality


_BLOCK = 1 << 16  # pixels

# The eight pixels that each value of a byte stands for: unlike numpy.unpackbits and a
# conversion, a look-up makes only one large array.
_PIXELS = (1 - np.unpackbits(np.arange(256, dtype=np.uint8))).astype(">i2").view("V16")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Votes:
    """How often each pixel was bad and how often it was finite, kept as bits.

    Attributes
    ----------
    bad, not_finite : BitCounter
        Counts for each pixel.
    n_chips : int
        Number of chips that were counted.
    """

    bad: BitCounter
    not_finite: BitCounter
    n_chips: int

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
        """Yield the count and the coverage of `size` pixels in blocks, which take little memory."""
        for begin in range(0, size, _BLOCK):
            n = min(_BLOCK, size - begin)
            coverage = np.uint32(self.n_chips) - self.not_finite.counts(n, begin)
            yield self.bad.counts(n, begin), coverage

    def count(self, shape: tuple[int, int]) -> NDArray[np.uint32]:
        """Return the number of chips in which each pixel was bad."""
        return self.bad.counts(shape[0] * shape[1]).reshape(shape)

    def coverage(self, shape: tuple[int, int]) -> NDArray[np.uint32]:
        """Return the number of chips in which each pixel was finite."""
        not_finite = self.not_finite.counts(shape[0] * shape[1])
        return (np.uint32(self.n_chips) - not_finite).reshape(shape)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StaticMask:
    """A static bad-pixel mask.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    bits : ndarray of uint8
        The bad pixels, packed eight to a byte as by `numpy.packbits`; see `bad`.
    identity : ChipIdentity or None
        The silicon that the mask belongs to; None for a mask that does not
        record it, such as DrizzlePac's.
    recipe : Recipe or None
        The settings by which the mask was made; None if not recorded, or if it was not made
        from exposures.
    records : sequence of ChipRecord
        The statistics of each chip of each exposure; empty if the mask does
        not record them.
    quality : Quality or None
        The quality checks; None for a mask that was read, whose limits are not
        known.
    votes : Votes or None
        How often each pixel was bad and finite, if that was counted.
    keeps_counts : bool
        Whether the mask's file stores the votes.
    edits : tuple of Edit
        The changes that were made to its pixels without reading exposures; empty for a
        mask made from exposures alone. Recipe, records and votes do not include them.

    Examples
    --------
    >>> import numpy as np
    >>> from staticmask_cli import StaticMask
    >>> bad = np.zeros((2, 4), dtype=bool)
    >>> bad[1, 3] = True
    >>> mask = StaticMask(shape=bad.shape, bits=np.packbits(bad))
    >>> mask
    <StaticMask 2x4: 1 of 8 pixels bad>
    >>> np.argwhere(mask.bad).tolist()
    [[1, 3]]
    """

    shape: tuple[int, int]
    bits: Bits
    identity: ChipIdentity | None = None
    recipe: Recipe | None = None
    records: Records = field(default_factory=Records.of)
    quality: Quality | None = None
    votes: Votes | None = None
    keeps_counts: bool = False
    edits: tuple[Edit, ...] = ()

    def __repr__(self) -> str:
        name = self.identity or "x".join(map(str, self.shape))
        text = f"{name}: {self.n_bad} of {self.total} pixels bad"
        if self.records:
            text += f", exposures: {self.records.n_exposures}"
        if self.edits:
            text += f", edits: {len(self.edits)}"
        return f"<StaticMask {text}>"

    @property
    def total(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @cached_property
    def n_bad(self) -> int:
        """Number of bad pixels."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    @property
    def bad(self) -> NDArray[np.bool_]:
        """The bad pixels: bool, rows x columns, True for bad, as photutils and NDData take it."""
        return np.unpackbits(self.bits, count=self.total).view(np.bool_).reshape(self.shape)

    @property
    def pixels(self) -> NDArray[np.int16]:
        """The mask as FITS files store it: big-endian int16, rows x columns, 1 good, 0 bad."""
        return _PIXELS.take(self.bits).view(">i2")[: self.total].reshape(self.shape)

    @property
    def count(self) -> NDArray[np.uint32] | None:
        """Number of chips in which each pixel was bad, rows x columns; None without counts."""
        return None if self.votes is None else self.votes.count(self.shape)

    @property
    def coverage(self) -> NDArray[np.uint32] | None:
        """Number of chips in which each pixel was finite, rows x columns; None without counts."""
        return None if self.votes is None else self.votes.coverage(self.shape)

    def coverage_histogram(self) -> dict[int, int]:
        """Return the number of pixels for each coverage."""
        coverage = self.coverage
        if coverage is None:
            return {self.records.n_chips: self.total}
        numbers, pixels = np.unique(coverage, return_counts=True)
        return dict(zip(numbers.tolist(), pixels.tolist(), strict=True))

    @property
    def sha256(self) -> str:
        """SHA-256 of `pixels`: of the array in the mask's file, without padding."""
        return hashlib.sha256(self.pixels.data).hexdigest()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> StaticMask:
        """Read a static mask from a FITS file.

        Parameters
        ----------
        path : str or path
            A mask of this program or of DrizzlePac; it may be gzipped.

        Returns
        -------
        StaticMask
            Without quality checks; attributes not recorded in the file are None.

        Raises
        ------
        InputError
            If the file cannot be read, is damaged or is not a static mask.
        """
        # The FITS form is defined in terms of this class.
        from staticmask_cli.masks.fits_form import read_any  # noqa: PLC0415

        return read_any(Path(path))

    def to_ccddata(self) -> CCDData:
        """Return the mask for astropy's reduction tools.

        Returns
        -------
        CCDData
            Its ``data`` is the array of the mask's file (1 good, 0 bad), as
            ``CCDData.read`` returns it; its ``mask`` is `bad`, True for bad
            pixels; dimensionless; ``header`` is the header of the file.
        """
        from astropy import units  # noqa: PLC0415 - masks are made without
        from astropy.nddata import CCDData  # noqa: PLC0415 - masks are made without

        from staticmask_cli.masks.fits_form import header_of  # noqa: PLC0415 - as in read()

        return CCDData(
            self.pixels.astype(np.int16),
            mask=self.bad,
            unit=units.dimensionless_unscaled,
            header=header_of(self),
        )
