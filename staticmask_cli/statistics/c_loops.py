"""The inner loops in C: `_kernel.c`, compiled by `_build_kernel.py` when it is installed.

ctypes releases the GIL while a function runs, so that threads run in parallel.
"""

from __future__ import annotations

import ctypes
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.rounds import Float32s

LIBRARY = Path(__file__).with_name("_kernel.so")

_VERSION = 1  # as in _kernel.c
_ROW = 1024  # as in _kernel.c: `tails` needs room for this many more
_DIGEST = hashlib.sha256().digest_size

_ARRAY, _INTEGER, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "mix": (None, [_ARRAY, _INTEGER, _INTEGER, _ARRAY]),
    "split": (_INTEGER, [_ARRAY, _INTEGER, _FLOAT, _FLOAT, _ARRAY, _INTEGER, _ARRAY]),
    "squares_and_counts": (
        ctypes.c_double,
        [_ARRAY, _INTEGER, *[_FLOAT] * 5, _INTEGER, _ARRAY, _ARRAY],
    ),
}


class NotUsableError(Exception):
    """The library is missing or cannot be used here; the message is the reason."""


def load(path: Path = LIBRARY) -> CLoops:
    """Load the library.

    Raises
    ------
    NotUsableError
        If it is missing, damaged, of another version, or does not run on this
        processor.

    Examples
    --------
    >>> load(Path("missing.so"))
    Traceback (most recent call last):
    ...
    staticmask_cli.statistics.c_loops.NotUsableError: missing.so was not built
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise NotUsableError(f"{path} was not built") from None
    # Loading a truncated library could end the process with a signal.
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise NotUsableError(f"{path} is damaged")
    try:
        library = ctypes.CDLL(str(path))
        if library.staticmask_version() != _VERSION:
            raise NotUsableError(f"{path} is of another version")
        if not library.staticmask_runs_here():
            raise NotUsableError("this processor has no AVX2")
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, f"staticmask_{name}")
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise NotUsableError(f"{path} cannot be loaded: {error}") from None
    return CLoops(library)


class CLoops:
    """The inner loops in C; `numpy_loops` documents them.

    Parameters
    ----------
    library : CDLL
        The library, which is known to run.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def mix(self, words: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Combine the words of each lane."""
        lanes = np.zeros(words.shape[1], dtype=np.uint64)
        self._library.staticmask_mix(_address(words), *words.shape, _address(lanes))
        return lanes

    def split(
        self, pixels: Float32s, low: np.float32, high: np.float32, longest: int
    ) -> tuple[Float32s, float, float] | None:
        """Find the pixels outside a range, and sum all pixels, clipped to the range."""
        tails = np.empty(longest + _ROW, dtype=np.float32)
        sums = np.empty(2)
        n = self._library.staticmask_split(
            *(_address(pixels), pixels.size, low, high),
            *(_address(tails), longest, _address(sums)),
        )
        return None if n < 0 else (tails[:n], float(sums[0]), float(sums[1]))

    def squares_and_counts(
        self,
        pixels: Float32s,
        low: np.float32,
        high: np.float32,
        mean: np.float32,
        origin: np.float32,
        scale: np.float32,
        n_bins: int,
    ) -> tuple[float, NDArray[np.int64]]:
        """Clip all pixels to a range; sum their squares about a mean, and count them in bins."""
        counts = np.zeros(n_bins, dtype=np.int64)
        pairs = np.zeros((2, n_bins, n_bins), dtype=np.uint32)
        squares = self._library.staticmask_squares_and_counts(
            *(_address(pixels), pixels.size, low, high, mean, origin, scale),
            *(n_bins, _address(pairs), _address(counts)),
        )
        return squares, counts


def _address(array: NDArray[Any]) -> int:
    if not array.flags.c_contiguous:
        raise ValueError("the kernel takes only contiguous arrays")
    return array.ctypes.data
