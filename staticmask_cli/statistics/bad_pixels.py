"""What makes a pixel of a chip bad. Arrays in, arrays out."""

from __future__ import annotations

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

_BLOCK = 131072  # pixels to a pass, so that what lies between stays in cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What makes a pixel bad.

    Attributes
    ----------
    static_sig : float
        A pixel is low if it lies more than so many rms below the mode.
    good_bits : int or None
        Sum of the DQ bits that count as good, negative for "all but": a pixel
        with any other bit is flagged. None: flags do not count.
    """

    static_sig: float
    good_bits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadPixels:
    """The bad pixels of a chip, and why they are bad.

    Attributes
    ----------
    statistics : SkyStatistics
        Of the chip's sky.
    threshold : float
        Below which a pixel is low; NaN if the chip has no sky.
    low : ndarray of bool
        Pixels below it.
    flagged : ndarray of bool or None
        Pixels that their flags call bad; None if flags do not count.
    not_finite : ndarray of bool or None
        Pixels that are not finite; None if all are finite.
    """

    statistics: SkyStatistics
    threshold: float
    low: NDArray[np.bool_]
    flagged: NDArray[np.bool_] | None
    not_finite: NDArray[np.bool_] | None

    @property
    def bad(self) -> NDArray[np.bool_]:
        """The pixels that are low or flagged."""
        return self.low if self.flagged is None else self.low | self.flagged

    @property
    def used(self) -> bool:
        """Whether the chip takes part in a mask: it has a sky, or flags that count."""
        return self.statistics.is_usable or self.flagged is not None

    @property
    def reason(self) -> str:
        """Why no low pixel was looked for; empty if one was."""
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
        The chip's science array, rows x columns, of any real type.
    flags : ndarray or None
        Its DQ array, of the same shape; None if there is none.
    criteria : Criteria
        What makes a pixel bad.
    statistics : SkyStatistics, optional
        Of these pixels, if they are known already.

    Returns
    -------
    BadPixels

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.random.default_rng(1).normal(40, 6, (64, 64)).astype("f4")
    >>> pixels[3, 5] = -60
    >>> found = find_bad_pixels(pixels, None, Criteria(static_sig=4.0))
    >>> np.argwhere(found.bad).tolist()
    [[3, 5]]
    """
    sky = sky_statistics(pixels) if statistics is None else statistics
    flagged = None
    if flags is not None and criteria.good_bits is not None:
        flagged = flagged_pixels(flags, criteria.good_bits)
    return BadPixels(
        statistics=sky,
        threshold=sky.threshold(criteria.static_sig),
        low=low_pixels(pixels, sky, criteria.static_sig),
        flagged=flagged,
        not_finite=None if sky.all_finite else not_finite_pixels(pixels),
    )


def flagged_pixels(flags: NDArray[Any], good_bits: int) -> NDArray[np.bool_]:
    """Tell which pixels have a DQ bit that does not count as good.

    Parameters
    ----------
    flags : ndarray
        DQ values; the sign bit of an integer is a flag like any other. Whole
        numbers that come as floats, as a constant or scaled array can, count
        as 16-bit integers if they fit; NaN as 0.
    good_bits : int
        Sum of the bits that count as good; negative for "all but".

    Returns
    -------
    ndarray of bool
        Of the shape of `flags`.
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
