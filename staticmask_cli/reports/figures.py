"""Figures with axes and text: arrays and numbers in, PNG out; drawn for light or dark pages."""

from __future__ import annotations

import functools
import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.fits_files import silenced
from staticmask_cli.reports.pictures import (
    BAD_COLOUR,
    UNSEEN_COLOUR,
    Bools,
    Pixels,
    Window,
    stretched,
)
from staticmask_cli.statistics.rounds import BLOCK, CLIP
from staticmask_cli.statistics.sky import BIN_WIDTH, SkyStatistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What numbers for people have in place of a hyphen.
MINUS = "\N{MINUS SIGN}"

_MOST_BINS = 400
_MARGINS = (4, 7)  # rms that are shown beyond the lowest and the highest line
_TINT = 0.25
_LEAST = 0.5  # where the counts' axis begins, so that a single pixel is seen
_SIZE = (5.6, 5.3)  # inches: 14-point letters can be read on a telephone
_DPI = 160
# Left, bottom, width and height of the axes as shares of a figure: the layouts
# that matplotlib finds by itself take it as long as all the drawing.
_WHOLE = (0.15, 0.13, 0.81, 0.8558)  # square
_OVER_LEGEND = (0.15, 0.34, 0.81, 0.64)

_SCHEMES = {
    False: {"paper": "#ffffff", "ink": "#1d2430", "faint": "#5d6675", "fill": "#9aa5b5"},
    True: {"paper": "#161a21", "ink": "#e4e8ee", "faint": "#a4adba", "fill": "#667285"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many pixels have which value, and what the statistic made of it.

    Attributes
    ----------
    counts : ndarray of int64
        Pixels in each bin.
    edges : ndarray of float64
        Where the bins begin, and where the last ends.
    below, above : int
        Pixels beyond them; infinite ones too.
    mode : float
        Where the sky's histogram peaks.
    limits : tuple of float
        Between which the last round of clipping measured.
    threshold : float
        Below which pixels are low.
    static_sig : float
        How many rms that is below the mode.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    below: int
    above: int
    mode: float
    limits: tuple[float, float]
    threshold: float
    static_sig: float


def count(pixels: Pixels, statistics: SkyStatistics, static_sig: float) -> Histogram:
    """Count an exposure's pixels around mode, clip limits and threshold.

    Parameters
    ----------
    pixels : ndarray
        The exposure, of any shape and real type.
    statistics : SkyStatistics
        Of these pixels; usable.
    static_sig : float
        How many rms below the mode the threshold is.
    """
    rms, threshold = statistics.rms, statistics.threshold(static_sig)
    limits = (statistics.mean - CLIP * rms, statistics.mean + CLIP * rms)
    low, high = min(threshold, limits[0]) - _MARGINS[0] * rms, limits[1] + _MARGINS[1] * rms
    bins = max(1, min(_MOST_BINS, math.ceil((high - low) / (BIN_WIDTH * rms))))
    width = (high - low) / bins
    counts = np.zeros(bins + 2, dtype=np.int64)  # the first and the last for what lies outside
    flat = pixels.reshape(-1)
    with np.errstate(all="ignore"):
        for start in range(0, flat.size, BLOCK):
            values = flat[start : start + BLOCK].astype(np.float64)
            place = (values[~np.isnan(values)] - low) / width
            numbers = np.clip(np.floor(place) + 1, 0, bins + 1).astype(np.intp)
            counts += np.bincount(numbers, minlength=bins + 2)
    return Histogram(
        counts=counts[1:-1],
        edges=np.linspace(low, high, bins + 1),
        below=int(counts[0]),
        above=int(counts[-1]),
        mode=statistics.mode,
        limits=limits,
        threshold=threshold,
        static_sig=static_sig,
    )


def in_words(value: float, digits: int = 5) -> str:
    """Return a number for people: a few digits, and a minus that is one."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def zoom(
    pixels: Pixels, bad: Bools, median: float, noise: float, window: Window, *, dark: bool
) -> bytes:
    """Draw a region's pixels with their numbers, counted from 1, and the bad ones outlined.

    Parameters
    ----------
    pixels, bad, median, noise, window
        As for `overview`.
    dark : bool
        Whether it is for a dark page.

    Returns
    -------
    bytes
        A PNG.
    """
    shade, inside = stretched(pixels[window], median, noise), bad[window]
    rows, columns = window
    # Pixel 1 reaches from 0.5 to 1.5.
    left, bottom = columns.start + 0.5, rows.start + 0.5
    extent = (left, columns.stop + 0.5, bottom, rows.stop + 0.5)
    with _drawing(_WHOLE, dark=dark) as (axes, _, out):
        from matplotlib.collections import LineCollection  # noqa: PLC0415

        axes.imshow(_tinted(shade, inside), origin="lower", extent=extent, interpolation="nearest")
        edges = _edges(inside) + np.array([left, bottom])
        axes.add_collection(
            LineCollection(list(edges), colors=BAD_COLOUR, linewidths=1.7, capstyle="projecting"),
            autolim=False,
        )
        axes.set_xlabel("x (pixel)")
        axes.set_ylabel("y (pixel)")
        axes.locator_params(nbins=6, integer=True)
    return out.getvalue()


def _tinted(shade: NDArray[np.float32], bad: Bools) -> NDArray[np.float32]:
    """Return an image in colour: bad pixels have a tint, which tells what is inside of a line."""
    picture = np.repeat(shade[..., None], 3, axis=2)
    picture[np.isnan(shade)] = _rgb(UNSEEN_COLOUR)
    picture[bad] += _TINT * (_rgb(BAD_COLOUR) - picture[bad])
    return picture


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([part / 255 for part in bytes.fromhex(colour[1:])], dtype=np.float32)


def _edges(bad: Bools) -> NDArray[np.int64]:
    """Return the sides between bad pixels and others: from x, y to x, y, each a 2 x 2 array."""
    padded = np.pad(bad, 1)
    y, x = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.stack([x, y], axis=1), np.stack([x + 1, y], axis=1)], axis=1)
    y, x = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([x, y], axis=1), np.stack([x, y + 1], axis=1)], axis=1)
    return np.concatenate([level, upright])


def histogram(data: Histogram, *, dark: bool) -> bytes:
    """Draw how many pixels have which value, with mode, limits and threshold.

    Parameters
    ----------
    data : Histogram
        As `count` returns it.
    dark : bool
        As for `zoom`.

    Returns
    -------
    bytes
        A PNG.
    """
    threshold, mode, *limits = map(in_words, (data.threshold, data.mode, *data.limits))
    low, high = data.edges[0], data.edges[-1]
    with _drawing(_OVER_LEGEND, dark=dark) as (axes, colours, out):
        axes.stairs(
            data.counts, data.edges, fill=True, baseline=_LEAST, color=colours["fill"], linewidth=0
        )
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(_LEAST, 2 * max(1, int(data.counts.max())))
        axes.set_xlim(low, high)
        axes.axvspan(low, data.threshold, color=BAD_COLOUR, alpha=0.16, linewidth=0)
        axes.axvline(
            data.threshold,
            color=BAD_COLOUR,
            linewidth=2.2,
            label=f"threshold {threshold} (mode {MINUS} {data.static_sig:g} rms)",
        )
        axes.axvline(data.mode, color=colours["ink"], linewidth=1.8, label=f"mode {mode}")
        dashed: dict[str, Any] = {"color": colours["faint"], "linewidth": 1.6, "linestyle": "--"}
        axes.axvline(data.limits[0], label=f"clip limits {' and '.join(limits)}", **dashed)
        axes.axvline(data.limits[1], **dashed)
        axes.set_xlabel("pixel value")
        axes.set_ylabel("pixels per bin")
        axes.locator_params(axis="x", nbins=5)
        axes.figure.legend(loc="lower left", frameon=False, borderaxespad=0)
    return out.getvalue()


@contextmanager
def _drawing(
    place: tuple[float, float, float, float], *, dark: bool
) -> Iterator[tuple[Axes, dict[str, str], io.BytesIO]]:
    """Lend axes to draw on, and the file that holds the picture afterwards."""
    quiet()
    from matplotlib import rc_context, style  # noqa: PLC0415 - seldom needed, maybe not there
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    colours, out = _SCHEMES[dark], io.BytesIO()
    ink = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    looks: Any = {"font.size": 14, **dict.fromkeys(ink, colours["ink"])}
    # A user's matplotlibrc must not change what a report looks like.
    # Nor must what its versions and those of its own packages have to say of each other.
    with silenced(), style.context("default"), rc_context(looks):
        figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor=colours["paper"])
        FigureCanvasAgg(figure)
        axes = figure.add_axes(place, facecolor=colours["paper"])
        axes.spines[:].set_color(colours["faint"])
        yield axes, colours, out
        figure.savefig(out, format="png", metadata={"Software": None})


@functools.cache
def quiet() -> None:
    """Keep what matplotlib has to tell of its own fonts and folders off standard error."""
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())
