"""What chance alone does: how many pixels of a sky without defects come out as bad.

Numbers in, numbers out. The sky's noise is taken for Gaussian, and its rms as
the rounds of clipping measure it: a little too small, so that a threshold of 4
rms lies nearer than 4 sigma.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from staticmask_cli.settings import MinExposures
from staticmask_cli.statistics.rounds import CLIP, ROUNDS


def clipped_rms() -> float:
    """Return the rms that clipping leaves of Gaussian noise of rms 1.

    A Gaussian cut at -+ t has the variance 1 - 2 t phi(t) / (2 Phi(t) - 1)
    (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1,
    section 13.10.1), and each round cuts at 3 of the last one's rms.
    """
    rms = 1.0
    for _ in range(ROUNDS - 1):
        cut = CLIP * rms
        density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
        rms = math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))
    return rms


def low_probability(static_sig: float) -> float:
    """Return the probability that noise alone makes a pixel low in one exposure."""
    return 0.5 * math.erfc(static_sig * clipped_rms() / math.sqrt(2))


def bad_by_chance(seen: Mapping[int, int], static_sig: float, min_exposures: MinExposures) -> float:
    """Return how many pixels of a mask are to be expected of noise alone.

    The sum over the pixels of the binomial probability that a pixel is low in
    as many of its exposures as are needed.

    Parameters
    ----------
    seen : mapping
        How many pixels were seen how often: coverage to pixels.
    static_sig : float
        How many rms below the mode a pixel is low.
    min_exposures : MinExposures
        In how many exposures a pixel must be low to be bad.
    """
    p = low_probability(static_sig)
    total = 0.0
    for coverage, pixels in seen.items():
        least = min_exposures.needed(coverage)
        enough = sum(_binomial(coverage, k, p) for k in range(least, coverage + 1))
        total += pixels * enough
    return total


def _binomial(n: int, k: int, p: float) -> float:
    """Return the probability of k successes in n trials, also where n over k is huge."""
    if p in (0.0, 1.0):
        return float(k == n * int(p))
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))
