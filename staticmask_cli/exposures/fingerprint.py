"""A hash of pixels that costs next to nothing beside the statistics. Arrays in, text out."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

# 64-bit lanes side by side: 256 KiB, which a cache holds; fewer mean more and
# shorter operations, between which threads wait for one another.
_LANES = 32768
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
_HALF = np.uint64(32)


def fingerprint(pixels: NDArray[Any]) -> str:
    """Return a hash of an array's values and of their order.

    The array's 64-bit words are dealt to 32768 lanes; each lane takes its words
    one after the other by addition, multiplication and a shift, none of which
    loses anything, and SHA-256 joins the lanes. A single pixel that changes
    always changes the hash; pixels that change places do as surely as chance
    can be; it does not resist intent. SHA-256 of all pixels would take half as
    long again as their statistics.

    Parameters
    ----------
    pixels : ndarray
        Any shape and type.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    digest = hashlib.sha256(f"{pixels.dtype.str[1:]}{pixels.shape}".encode("ascii"))
    if 0 in pixels.strides and pixels.size:  # one value for all pixels: no need to spread it
        digest.update(np.asarray(pixels.flat[0]).tobytes())
        return digest.hexdigest()[:32]
    flat = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
    whole = flat.size // (8 * _LANES) * (8 * _LANES)
    lanes = np.zeros(_LANES, dtype="<u8")
    high = np.empty_like(lanes)
    for words in flat[:whole].view("<u8").reshape(-1, _LANES):
        np.add(lanes, words, out=lanes)
        np.multiply(lanes, _FACTOR, out=lanes)
        # Products alone carry no high bit down: two words could change places.
        np.right_shift(lanes, _HALF, out=high)
        np.bitwise_xor(lanes, high, out=lanes)
    if whole:
        digest.update(lanes.tobytes())
    digest.update(flat[whole:].tobytes())
    return digest.hexdigest()[:32]
