"""In how many exposures pixels are bad, and in how many they must be.

Sets of pixels are kept as bits, eight to a byte, as `numpy.packbits` orders
them: that is what travels between workers and what is added up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]


def pack(bad: NDArray[np.bool_]) -> Bits:
    """Return bad pixels as bits."""
    return np.packbits(bad)


def positions(bits: Bits) -> NDArray[np.uint32]:
    """Return the places of the bits that are set, in rising order."""
    filled = np.flatnonzero(bits != 0)
    byte, bit = np.nonzero(np.unpackbits(bits[filled]).reshape(-1, 8))
    return (filled[byte] * 8 + bit).astype(np.uint32)


def is_set(bits: Bits, places: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return for each of some places whether its bit is set."""
    found: NDArray[np.bool_] = (bits[places >> 3] >> (7 - (places & 7)).astype(np.uint8)) & 1 != 0
    return found


class BitCounter:
    """Counts how often each of many bits was set.

    The counts stand upright: one array of bits holds all counts' lowest digits,
    the next their second digits, and so on. Adding is a carry through them, of
    which few get far, so that it costs little more than a bitwise or.
    """

    def __init__(self) -> None:
        self._planes: list[Bits] = []

    def add(self, bits: Bits, power: int = 0) -> None:
        """Add 2**power to the counts of the bits that are set."""
        while len(self._planes) < power:
            self._planes.append(np.zeros_like(bits))
        for plane in self._planes[power:]:
            carry = plane & bits
            np.bitwise_xor(plane, bits, out=plane)
            bits = carry
            if not bits.any():
                return
        if bits.any():
            self._planes.append(bits.copy())

    def add_counts(self, counts: NDArray[Any]) -> None:
        """Add counts themselves: whole numbers, none negative."""
        flat = counts.reshape(-1)
        for power in range(int(flat.max(initial=0)).bit_length()):
            self.add(np.packbits((flat >> power) & 1 != 0), power)

    def counts(self, size: int) -> NDArray[np.uint32]:
        """Return the counts of the first `size` bits."""
        total = np.zeros(size, dtype=np.uint32)
        for power, plane in enumerate(self._planes):
            total |= np.unpackbits(plane, count=size).astype(np.uint32) << power
        return total
