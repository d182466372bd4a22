"""The choice of the inner loops: the C kernel where it runs, else NumPy."""

from __future__ import annotations

import logging
import os
import threading
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.settings import KERNEL_OFF, KERNEL_VARIABLE
from staticmask_cli.statistics import c_loops, numpy_loops
from staticmask_cli.statistics.rounds import Float32s

log = logging.getLogger(__name__)

_lock = threading.Lock()


class Loops(Protocol):
    """An implementation of the inner loops; `numpy_loops` documents them."""

    def mix(self, words: NDArray[np.uint64], /) -> NDArray[np.uint64]:
        """Combine the words of each lane."""

    def split(
        self, pixels: Float32s, low: np.float32, high: np.float32, longest: int, /
    ) -> tuple[Float32s, float, float] | None:
        """Find the pixels outside a range, and sum all pixels, clipped to the range."""

    def squares_and_counts(
        self,
        pixels: Float32s,
        low: np.float32,
        high: np.float32,
        mean: np.float32,
        origin: np.float32,
        scale: np.float32,
        n_bins: int,
        /,
    ) -> tuple[float, NDArray[np.int64]]:
        """Clip all pixels to a range; sum their squares about a mean, and count them in bins."""


def chosen() -> Loops:
    """Return the implementation that this process uses, which does not change.

    Examples
    --------
    >>> total = chosen().mix(np.ones((2, 3), dtype=np.uint64))
    >>> total.shape
    (3,)
    """
    with _lock:  # so that threads do not load the library at the same time
        return _choice()


@cache
def _choice() -> Loops:
    if os.environ.get(KERNEL_VARIABLE, "").strip().lower() in KERNEL_OFF:
        reason = f"{KERNEL_VARIABLE} is off"
    else:
        try:
            kernel = c_loops.load()
        except c_loops.NotUsableError as error:
            reason = str(error)
        else:
            log.debug("the statistics run in the C kernel")
            return kernel
    log.debug("the statistics run in NumPy: %s", reason)
    return numpy_loops
