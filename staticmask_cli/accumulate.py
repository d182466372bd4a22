"""Bad pixels of chips to one mask: a pixel that is bad once is bad.

Arrays in, arrays out; nothing here knows of files. Masks on the way are kept
as bits, eight pixels to a byte, as `numpy.packbits` orders them: that is what
travels between workers and what is added up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]

_BLOCK = 131072  # pixels to a pass, so that what lies between stays in cache


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


def pack(bad: NDArray[np.bool_]) -> Bits:
    """Return bad pixels as bits."""
    return np.packbits(bad)


class MaskAccumulator:
    """Adds up the bad pixels of one identity.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the mask.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._bits: Bits = np.zeros((shape[0] * shape[1] + 7) // 8, dtype=np.uint8)

    def add(self, bad: Bits) -> None:
        """Count pixels as bad; the order of additions does not matter."""
        np.bitwise_or(self._bits, bad, out=self._bits)

    @property
    def bad(self) -> int:
        """Number of bad pixels."""
        return int(np.bitwise_count(self._bits).sum(dtype=np.int64))

    def mask(self) -> NDArray[np.int16]:
        """Return the mask: 1 good, 0 bad; big-endian, as FITS files hold it."""
        good = np.unpackbits(~self._bits, count=self.shape[0] * self.shape[1])
        return good.astype(">i2").reshape(self.shape)
