"""What every method measures of the sky of a chip.

To add a method, derive a class from `MeasuredSky`, and add it to `Background` and to
`bad_pixels.METHODS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.statistics.votes import Bits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredSky(ABC):
    """The background and noise of a chip, with which its pixels are compared.

    Attributes
    ----------
    all_finite : bool
        Whether all pixels are finite.
    n_finite : int
        Number of finite pixels.
    lowest : float
        The lowest finite pixel; NaN if there is none.
    median, noise : float
        Median of a sample of the finite pixels, and its distance to the 16th
        percentile: one sigma for Gaussian noise. Stars and nebulae hardly
        affect it, because they brighten pixels. For quantized pixels, half a
        step is added to the noise.
    """

    all_finite: bool
    n_finite: int
    lowest: float
    median: float
    noise: float

    @property
    @abstractmethod
    def reason(self) -> str:
        """Why background and noise were not measured; empty if they were."""

    @property
    @abstractmethod
    def recorded(self) -> dict[str, Any]:
        """The results that only this method has, by their names in records."""

    @property
    def is_usable(self) -> bool:
        """Whether background and noise were measured; if not, no pixel is low."""
        return not self.reason

    @abstractmethod
    def threshold(self, static_sig: float) -> float:
        """Return the value below which a pixel is low; NaN if it depends on the place."""

    @abstractmethod
    def low(self, pixels: NDArray[Any], static_sig: float) -> Bits:
        """Find the pixels that are more than `static_sig` times the noise below the background.

        Parameters
        ----------
        pixels : ndarray
            The measured pixels, rows x columns.
        static_sig : float
            Threshold, in units of the noise.

        Returns
        -------
        ndarray of uint8
            The low pixels, as bits (see `votes`); none that is not finite.
        """

    @abstractmethod
    def at(
        self, pixels: NDArray[Any], places: NDArray[np.integer[Any]], low: Bits
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Return the background and noise with which some pixels are compared.

        Parameters
        ----------
        pixels : ndarray
            The measured pixels, rows x columns.
        places : ndarray of int
            Flat indices of the pixels.
        low : ndarray of uint8
            The low pixels, as `low` returns them.

        Returns
        -------
        background, noise : ndarray of float
            In the unit of the pixels. NaN if not measured; the noise is infinite where
            it is not known.
        """
