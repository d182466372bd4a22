"""A plain implementation of the statistics, with which the fast one is compared."""

from __future__ import annotations

import numpy as np

F = np.float32


def plain_statistics(pixels: np.ndarray) -> tuple[float, float, int]:
    """Return mode, rms and number of bins as stsci.imagestats 1.8.4 defines them."""
    x = pixels.astype(F).ravel()
    first, x = x[0], x[np.isfinite(x)]
    low = lower = x.min()
    high = upper = x.max()
    for _ in range(4):
        inside = x[(x >= F(low)) & (x <= F(high))]
        mean = F(inside.sum(dtype=float) / inside.size)
        squares = ((inside - mean) ** 2).sum(dtype=float)
        rms = F(np.sqrt(squares / (inside.size - 1))) if inside.size > 1 else F(np.nan)
        if not inside.size:  # imagestats fails; here, this chip has no measurable sky
            least = most = F(np.nan)
        else:
            least = F(low) if first < F(low) else inside.min()
            most = F(high) if first > F(high) else inside.max()
        low = max(float(lower), float(mean) - 3 * float(rms))
        high = min(float(upper), float(mean) + 3 * float(rms))
    width, span = 0.1 * float(rms), float(most) - float(least)
    smallest = F(10) * np.finfo(F).eps
    if F(width) < smallest or F(span) < smallest or not width <= span or not np.isfinite(width):
        return np.nan, float(rms), 1
    nbins = int(span / width) + 1
    dz = F(span / (nbins - 1))
    counted = x[(x >= least) & (x < least + dz * F(nbins))]
    bins = (F(1) / dz * (counted - least)).astype(np.int64)
    h = np.bincount(bins, minlength=nbins)[:nbins].tolist()
    k = h.index(max(h))
    if nbins == 2:
        place = 1.0 if h[0] == h[1] else k + 0.5
    elif k in (0, nbins - 1) or 2 * h[k] == h[k - 1] + h[k + 1]:
        place = k + 0.5
    else:
        d1, d2 = h[k] - h[k - 1], h[k] - h[k + 1]
        place = (k + 1 + 0.5 * (d1 - d2) / (d1 + d2)) - 0.5
    return float(least) + place * width, float(rms), nbins
