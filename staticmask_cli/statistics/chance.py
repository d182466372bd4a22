"""False positives: how many pixels of a sky without defects are bad by chance.

Numbers in, numbers out. The noise is assumed to be Gaussian. Clipping slightly
underestimates its rms, so that a threshold of 4 rms lies closer than 4 sigma. The local
noise is that of the residuals, which includes the noise of the background.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from staticmask_cli.settings import Background, MinExposures
from staticmask_cli.statistics.rounds import CLIP, ROUNDS


def clipped_rms() -> float:
    """Return the rms that clipping measures for Gaussian noise of rms 1.

    A Gaussian truncated at +- t has the variance 1 - 2 t phi(t) / (2 Phi(t) - 1)
    (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1,
    section 13.10.1); each round truncates at 3 times the previous round's rms.

    Examples
    --------
    >>> round(clipped_rms(), 4)
    0.9849
    """
    rms = 1.0
    for _ in range(ROUNDS - 1):
        cut = CLIP * rms
        density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
        rms = math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))
    return rms


def low_probability(static_sig: float, background: Background = Background.CHIP) -> float:
    """Return the probability that a pixel is low in one exposure from noise alone.

    Parameters
    ----------
    static_sig : float
        Threshold, in units of the noise below the background.
    background : Background
        Which background and noise.

    Examples
    --------
    >>> f"{low_probability(4.0):.2e}"
    '4.08e-05'
    >>> f"{low_probability(4.0, Background.LOCAL):.2e}"
    '3.17e-05'
    """
    noise = clipped_rms() if background is Background.CHIP else 1.0
    return 0.5 * math.erfc(static_sig * noise / math.sqrt(2))


def bad_by_chance(
    coverage: Mapping[int, int],
    static_sig: float,
    min_exposures: MinExposures,
    background: Background = Background.CHIP,
) -> float:
    """Return the number of bad pixels expected from noise alone.

    This is the sum over all pixels of the binomial probability that a pixel is
    low in the required number of exposures.

    Parameters
    ----------
    coverage : mapping
        Number of pixels for each coverage (number of exposures in which a pixel
        is finite).
    static_sig : float
        Threshold, in units of the noise below the background.
    min_exposures : MinExposures
        Number or share of exposures in which a pixel must be low.
    background : Background
        Which background and noise.

    Examples
    --------
    In one 2048 x 4096 exposure, and if two of two exposures must agree:

    >>> round(bad_by_chance({1: 2048 * 4096}, 4.0, MinExposures(1)), 1)
    342.5
    >>> round(bad_by_chance({2: 2048 * 4096}, 4.0, MinExposures(2)), 3)
    0.014
    """
    p = low_probability(static_sig, background)
    total = 0.0
    for exposures, pixels in coverage.items():
        least = min_exposures.needed(exposures)
        enough = sum(_binomial(exposures, k, p) for k in range(least, exposures + 1))
        total += pixels * enough
    return total


def _binomial(n: int, k: int, p: float) -> float:
    """Return the probability of k successes in n trials, even where n over k overflows."""
    if p in (0.0, 1.0):
        return float(k == n * int(p))
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))
