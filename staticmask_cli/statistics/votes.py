"""Votes: the number of exposures in which pixels are bad, and the number required.

Sets of pixels are stored as packed bits (`numpy.packbits`): workers exchange
them, and counts are added up in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint8]

_BLOCK = 1 << 16  # pixels: a multiple of 8, few enough to stay in the cache


def pack(bad: NDArray[np.bool_]) -> Bits:
    """Return a boolean array as packed bits.

    Examples
    --------
    >>> pack(np.array([[True, False], [True, True]])).tolist()
    [176]
    """
    return np.packbits(bad)


def positions(bits: Bits) -> NDArray[np.uint32]:
    """Return the indices of the set bits, in ascending order.

    Examples
    --------
    >>> positions(pack(np.array([True, False, True, True]))).tolist()
    [0, 2, 3]
    """
    filled = np.flatnonzero(bits != 0)
    byte, bit = np.nonzero(np.unpackbits(bits[filled]).reshape(-1, 8))
    return (filled[byte] * 8 + bit).astype(np.uint32)


def is_set(bits: Bits, places: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return whether the bits at the given indices are set.

    Examples
    --------
    >>> bits = pack(np.array([True, False, True, True]))
    >>> is_set(bits, np.array([1, 3], dtype=np.uint32)).tolist()
    [False, True]
    """
    found: NDArray[np.bool_] = (bits[places >> 3] >> (7 - (places & 7)).astype(np.uint8)) & 1 != 0
    return found


def bits_of(places: NDArray[np.uint32], size: int) -> Bits:
    """Return `size` bytes of bits in which those at the given indices are set.

    Examples
    --------
    >>> positions(bits_of(np.array([0, 9], dtype=np.uint32), 2)).tolist()
    [0, 9]
    """
    bad = np.zeros(8 * size, np.bool_)
    bad[places] = True
    return pack(bad)


def compact(bits: Bits) -> tuple[NDArray[np.uint32] | Bits, int]:
    """Return bits in the smaller of two forms for other machines, and their number of bytes.

    The forms are the bits themselves, and the indices of those that are set.

    Examples
    --------
    >>> bits = pack(np.arange(1000) == 500)
    >>> compact(bits)
    (array([500], dtype=uint32), 125)
    >>> bool((expanded(*compact(bits)) == bits).all())
    True
    """
    n_set = int(np.bitwise_count(bits).sum())
    return (positions(bits) if 4 * n_set < bits.size else bits), bits.size


def expanded(form: NDArray[np.uint32] | Bits, size: int) -> Bits:
    """Return the bits of which `compact` returned form and number of bytes.

    Examples
    --------
    >>> expanded(np.array([0, 9], dtype=np.uint32), 2).tolist()
    [128, 64]
    """
    if form.dtype == np.uint8:
        return form.astype(np.uint8, copy=False)
    return bits_of(form.astype(np.uint32, copy=False), size)


class BitCounter:
    """Counts how often each of many bits is set.

    The counts are stored as bit planes: one packed array holds the lowest bit of
    every count, the next one the second bit, and so on. An addition carries
    through the planes; few carries go far, so that it costs little more than a
    bitwise or.

    Examples
    --------
    >>> counter = BitCounter()
    >>> counter.add(pack(np.array([True, False, True])))
    >>> counter.add(pack(np.array([True, False, False])))
    >>> counter.counts(3).tolist()
    [2, 0, 1]
    """

    def __init__(self) -> None:
        self._planes: list[Bits] = []

    def add(self, bits: Bits, power: int = 0) -> None:
        """Add 2**power to the counts of the set bits."""
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
        """Add an array of counts: non-negative integers."""
        flat = counts.reshape(-1)
        n_planes = int(flat.max(initial=0)).bit_length()
        planes = np.zeros((n_planes, (flat.size + 7) // 8), np.uint8)
        for begin in range(0, flat.size, _BLOCK):
            block = flat[begin : begin + _BLOCK].astype(np.uint32)
            end = (begin + block.size + 7) // 8
            for power, plane in enumerate(planes):
                plane[begin // 8 : end] = np.packbits(block & (1 << power) != 0)
        for power, plane in enumerate(planes):
            self.add(plane, power)

    def add_counter(self, other: BitCounter) -> None:
        """Add the counts of another counter of the same bits."""
        for power, plane in enumerate(other._planes):
            self.add(plane, power)

    def counts(self, size: int, begin: int = 0) -> NDArray[np.uint32]:
        """Return the counts of `size` bits from bit `begin`, a multiple of 8."""
        total = np.zeros(size, dtype=np.uint32)
        for power, plane in enumerate(self._planes):
            total |= np.unpackbits(plane[begin // 8 :], count=size).astype(np.uint32) << power
        return total
