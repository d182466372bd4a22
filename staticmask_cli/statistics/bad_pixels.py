"""The definition of a bad pixel, used by every command. Arrays in, arrays out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.sky import (
    SkyStatistics,
    low_pixels,
    not_finite_pixels,
    sky_statistics,
)
from staticmask_cli.statistics.votes import Bits, pack

_BLOCK = 131072  # pixels per pass, so that intermediate arrays stay in cache; a multiple of 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Criteria by which a pixel is bad.

    Attributes
    ----------
    static_sig : float
        Threshold, in rms below the mode: pixels below it are low.
    good_bits : int or None
        Sum of the DQ bits that count as good; negative for a complement. A
        pixel with any other bit set is flagged. None: flags are ignored.
    """

    static_sig: float
    good_bits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadPixels:
    """The bad pixels of a chip, and why they are bad.

    Attributes
    ----------
    statistics : SkyStatistics
        Statistics of the chip's sky.
    threshold : float
        Pixels below this value are low; NaN if the sky cannot be measured.
    low : ndarray of uint8
        Low pixels, as bits (see `votes`), like the next two.
    flagged : ndarray of uint8 or None
        Pixels with a DQ bit that does not count as good; None if flags are
        ignored.
    not_finite : ndarray of uint8 or None
        Pixels that are NaN or infinite; None if all are finite.
    """

    statistics: SkyStatistics
    threshold: float
    low: Bits
    flagged: Bits | None
    not_finite: Bits | None

    @property
    def bad(self) -> Bits:
        """Pixels that are low or flagged."""
        return self.low if self.flagged is None else self.low | self.flagged

    @property
    def used(self) -> bool:
        """Whether the chip contributes to a mask: it has a measurable sky or flags that count."""
        return self.statistics.is_usable or self.flagged is not None

    @property
    def reason(self) -> str:
        """Why no low pixels could be found; empty if the sky was measured."""
        if self.statistics.is_usable:
            return ""
        if self.statistics.n == 0:
            return "no low pixels found: it has no finite pixel"
        return "no low pixels found: its histogram has one bin"


def find_bad_pixels(
    pixels: NDArray[Any],
    flags: NDArray[Any] | None,
    criteria: Criteria,
    *,
    statistics: SkyStatistics | None = None,
) -> BadPixels:
    """Find the bad pixels of one chip.

    Parameters
    ----------
    pixels : ndarray
        The chip's science array, rows x columns, of any real type and in any
        unit.
    flags : ndarray or None
        Its DQ array, of the same shape; None if it has none.
    criteria : Criteria
        Thresholds for low and flagged pixels.
    statistics : SkyStatistics, optional
        Statistics of `pixels`, if they have been computed already.

    Returns
    -------
    BadPixels

    Examples
    --------
    >>> import numpy as np
    >>> from staticmask_cli.statistics.votes import positions
    >>> pixels = np.random.default_rng(1).normal(40, 6, (64, 64)).astype("f4")
    >>> pixels[3, 5] = -60
    >>> found = find_bad_pixels(pixels, None, Criteria(static_sig=4.0))
    >>> np.divmod(positions(found.bad), 64)
    (array([3], dtype=uint32), array([5], dtype=uint32))
    """
    sky = sky_statistics(pixels) if statistics is None else statistics
    flagged = None
    if flags is not None and criteria.good_bits is not None:
        flagged = pack(flagged_pixels(flags, criteria.good_bits))
    return BadPixels(
        statistics=sky,
        threshold=sky.threshold(criteria.static_sig),
        low=_low_bits(pixels, sky, criteria.static_sig),
        flagged=flagged,
        not_finite=None if sky.all_finite else pack(not_finite_pixels(pixels)),
    )


def _low_bits(pixels: NDArray[Any], sky: SkyStatistics, static_sig: float) -> Bits:
    """Return the low pixels as bits, without an array of bool for the whole chip."""
    if not sky.is_usable:
        return np.zeros(math.ceil(pixels.size / 8), dtype=np.uint8)
    flat = pixels.reshape(-1)
    parts = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
    return np.concatenate([pack(low_pixels(part, sky, static_sig)) for part in parts])


def flagged_pixels(flags: NDArray[Any], good_bits: int) -> NDArray[np.bool_]:
    """Find the pixels that have a DQ bit that does not count as good.

    Parameters
    ----------
    flags : ndarray
        DQ values of any integer type; the sign bit is a flag like any other.
        Floats, as in a constant or scaled array, are converted to 16-bit
        integers if they fit; NaN counts as 0.
    good_bits : int
        Sum of the bits that count as good; negative for a complement.

    Returns
    -------
    ndarray of bool
        True for flagged pixels; same shape as `flags`.

    Examples
    --------
    >>> import numpy as np
    >>> flags = np.array([[0, 16, 64, 80]], dtype=np.int16)
    >>> flagged_pixels(flags, good_bits=64).tolist()
    [[False, True, False, True]]
    >>> flagged_pixels(flags, good_bits=~16).tolist()
    [[False, True, False, True]]
    """
    if flags.dtype.kind == "f":
        flags = np.nan_to_num(flags).astype(np.int64)
        if flags.size and flags.min() >= -(2**15) and flags.max() < 2**15:
            flags = flags.astype(np.int16)
    unsigned = flags.view(flags.dtype.str.replace("i", "u")).reshape(-1)
    every_bit = 2 ** (8 * flags.dtype.itemsize) - 1
    not_good = unsigned.dtype.type(~good_bits & every_bit)
    bad = np.empty(unsigned.size, dtype=bool)
    for start in range(0, bad.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        np.not_equal(unsigned[block] & not_good, 0, out=bad[block])
    return bad.reshape(flags.shape)
