"""The definition of a bad pixel, used by every command. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.settings import Background
from staticmask_cli.statistics.local_sky import local_sky
from staticmask_cli.statistics.measured_sky import MeasuredSky
from staticmask_cli.statistics.sky import not_finite_pixels, sky_statistics
from staticmask_cli.statistics.votes import Bits, pack

_BLOCK = 131072  # pixels per pass, so that intermediate arrays stay in cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Criteria by which a pixel is bad.

    Attributes
    ----------
    static_sig : float
        Threshold, in units of the noise below the background: lower pixels are low.
    background : Background
        Which background and noise: one of `METHODS`.
    good_bits : int or None
        Sum of the DQ bits that count as good; negative for a complement. A
        pixel with any other bit set is flagged. None: flags are ignored.
    """

    static_sig: float
    background: Background = Background.CHIP
    good_bits: int | None = None


#: How the sky of a chip is measured: from its pixels, and from the flagged ones as bits.
METHODS: dict[Background, Callable[[NDArray[Any], Bits | None], MeasuredSky]] = {
    # DrizzlePac does not consider flags.
    Background.CHIP: lambda pixels, _: sky_statistics(pixels),
    Background.LOCAL: local_sky,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BadPixels:
    """The bad pixels of a chip, and why they are bad.

    Attributes
    ----------
    sky : MeasuredSky
        The chip's sky.
    threshold : float
        Pixels below this value are low; NaN if the sky cannot be measured, or if it
        depends on the place.
    low : ndarray of uint8
        Low pixels, as bits (see `votes`), like the next two.
    flagged : ndarray of uint8 or None
        Pixels with a DQ bit that does not count as good; None if flags are
        ignored.
    not_finite : ndarray of uint8 or None
        Pixels that are NaN or infinite; None if all are finite.
    """

    sky: MeasuredSky
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
        return self.sky.is_usable or self.flagged is not None

    @property
    def reason(self) -> str:
        """Why no low pixels could be found; empty if the sky was measured."""
        return f"no low pixels found: {self.sky.reason}" if self.sky.reason else ""


def find_bad_pixels(
    pixels: NDArray[Any],
    flags: NDArray[Any] | None,
    criteria: Criteria,
    *,
    sky: MeasuredSky | None = None,
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
    sky : MeasuredSky, optional
        The sky of `pixels`, if it has been measured already.

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
    flagged = None
    if flags is not None and criteria.good_bits is not None:
        flagged = pack(flagged_pixels(flags, criteria.good_bits))
    if sky is None:
        sky = METHODS[criteria.background](pixels, flagged)
    return BadPixels(
        sky=sky,
        threshold=sky.threshold(criteria.static_sig),
        low=sky.low(pixels, criteria.static_sig),
        flagged=flagged,
        not_finite=None if sky.all_finite else pack(not_finite_pixels(pixels)),
    )


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
