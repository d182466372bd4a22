"""Draw figures with axes and text as PNG images, for light or dark pages."""

from __future__ import annotations

import functools
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import printable
from staticmask_cli.exposures.fits_files import silenced
from staticmask_cli.reports.pictures import (
    BAD_COLOUR,
    UNSEEN_COLOUR,
    WINDOW_COLOUR,
    Bools,
    Pixels,
    Window,
    paletted,
    stretched,
)
from staticmask_cli.settings import Background
from staticmask_cli.statistics.histogram import BIN_WIDTH
from staticmask_cli.statistics.measured_sky import MeasuredSky
from staticmask_cli.statistics.rounds import BLOCK, CLIP
from staticmask_cli.statistics.sky import SkyStatistics
from staticmask_cli.statistics.votes import Bits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Replaces the hyphen in numbers for people.
MINUS = "\N{MINUS SIGN}"

_MOST_BINS = 400
_MARGINS = (4, 7)  # rms that are shown beyond the lowest and the highest line
_LEAST = 0.5  # start of the axis of counts, so that a single pixel is visible
_WIDTH = 5.6  # inches: letters of 14 points can be read on a phone
_DPI = 160
# Left, bottom, width and height of the axes as shares of a figure: matplotlib's
# automatic layouts take as long as all the drawing.
_SQUARE = (0.15, 0.13, 0.81, 0.8558)
_ABOVE_LEGEND = (0.15, 0.34, 0.81, 0.64)
_TREND = [(0.24, bottom, 0.72, 0.28) for bottom in (0.705, 0.4075, 0.11)]
_MOST_MARKED = 60  # exposures whose points are marked in a trend; more would merge
_FRAME = 3.0  # points of the line around the zoom

_SCHEMES = {
    False: {"paper": "#ffffff", "ink": "#1d2430", "faint": "#5d6675", "fill": "#9aa5b5"},
    True: {"paper": "#161a21", "ink": "#e4e8ee", "faint": "#a4adba", "fill": "#667285"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """The number of pixels by value, and the levels with which they are compared.

    Attributes
    ----------
    counts : ndarray of int64
        Pixels in each bin.
    edges : ndarray of float64
        Edges of the bins: one more than `counts`.
    below, above : int
        Pixels outside the bins, infinite ones included.
    background : Background
        LOCAL if the values are distances from the background of each place, in units of
        its noise; CHIP if they are pixels.
    centre : float
        The background: the mode, or 0 for distances.
    limits : tuple of float or None
        Limits of the last round of clipping; None for distances.
    threshold : float
        Pixels below it are low.
    static_sig : float
        Distance of the threshold from the background, in units of the noise.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    below: int
    above: int
    background: Background
    centre: float
    limits: tuple[float, float] | None
    threshold: float
    static_sig: float


def count(pixels: Pixels, sky: MeasuredSky, static_sig: float) -> Histogram:
    """Count the pixels of an exposure around the levels with which they are compared.

    Parameters
    ----------
    pixels : ndarray
        The exposure, rows x columns, of any real type.
    sky : MeasuredSky
        Of these pixels; usable.
    static_sig : float
        Distance of the threshold from the background, in units of the noise.

    Returns
    -------
    Histogram
        Of the pixels, or for a local background of their distances from it.
    """
    flat = pixels.reshape(-1)
    blocks = range(0, flat.size, BLOCK)
    if isinstance(sky, SkyStatistics):
        centre, noise, threshold = sky.mode, sky.rms, sky.threshold(static_sig)
        limits = (sky.mean - CLIP * noise, sky.mean + CLIP * noise)
        values = (flat[start : start + BLOCK].astype(np.float64) for start in blocks)
        background = Background.CHIP
    else:
        centre, noise, threshold, limits = 0.0, 1.0, -static_sig, None
        low = sky.low(pixels, static_sig)
        places = (np.arange(start, min(start + BLOCK, flat.size)) for start in blocks)
        values = (_distances(pixels, sky, of_block, low) for of_block in places)
        background = Background.LOCAL
    lowest, highest = limits or (-CLIP, CLIP)
    first = min(threshold, lowest) - _MARGINS[0] * noise
    last = highest + _MARGINS[1] * noise
    bins = max(1, min(_MOST_BINS, math.ceil((last - first) / (BIN_WIDTH * noise))))
    width = (last - first) / bins
    counts = np.zeros(bins + 2, dtype=np.int64)  # the first and the last for pixels outside
    with np.errstate(all="ignore"):
        for block in values:
            place = (block[~np.isnan(block)] - first) / width
            numbers = np.clip(np.floor(place) + 1, 0, bins + 1).astype(np.intp)
            counts += np.bincount(numbers, minlength=bins + 2)
    return Histogram(
        counts=counts[1:-1],
        edges=np.linspace(first, last, bins + 1),
        below=int(counts[0]),
        above=int(counts[-1]),
        background=background,
        centre=centre,
        limits=limits,
        threshold=threshold,
        static_sig=static_sig,
    )


def _distances(
    pixels: Pixels, sky: MeasuredSky, places: NDArray[np.intp], low: Bits
) -> NDArray[np.float64]:
    """Return how far pixels lie above the background, in units of the noise; NaN if not known."""
    background, noise = sky.at(pixels, places, low)
    distances = (pixels.reshape(-1)[places].astype(np.float64) - background) / noise
    distances[~np.isfinite(noise)] = np.nan
    return np.asarray(distances, np.float64)


def in_words(value: float, digits: int = 5) -> str:
    """Return a number for people: a few digits and a true minus sign."""
    return f"{value:.{digits}g}".replace("-", MINUS)


def zoom(
    pixels: Pixels, bad: Bools | None, median: float, noise: float, window: Window, *, dark: bool
) -> bytes:
    """Draw a region of an exposure with axes in 1-based pixels.

    Parameters
    ----------
    pixels, median, noise, window
        As for `staticmask_cli.reports.pictures.overview`.
    bad : ndarray of bool or None
        The bad pixels, which are filled; None to draw the exposure alone.
    dark : bool
        Whether the image is for a dark page.

    Returns
    -------
    bytes
        A PNG.
    """
    shade = stretched(pixels[window], median, noise)
    picture = np.repeat(shade[..., None], 3, axis=2)
    picture[np.isnan(shade)] = _rgb(UNSEEN_COLOUR)
    if bad is not None:
        picture[bad[window]] = _rgb(BAD_COLOUR)
    rows, columns = window
    # Pixel 1 reaches from 0.5 to 1.5.
    extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
    with _drawing(5.3, [_SQUARE], dark=dark) as ((axes,), _, out):
        axes.imshow(picture, origin="lower", extent=extent, interpolation="nearest")
        axes.spines[:].set(color=WINDOW_COLOUR, linewidth=_FRAME)
        axes.set_xlabel("x (pixel)")
        axes.set_ylabel("y (pixel)")
        axes.locator_params(nbins=6, integer=True)
    return out.getvalue()


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([part / 255 for part in bytes.fromhex(colour[1:])], dtype=np.float32)


def histogram(data: Histogram, unit: str, *, dark: bool) -> bytes:
    """Draw the number of pixels by value, with background, clip limits and threshold.

    Parameters
    ----------
    data : Histogram
        As `count` returns it.
    unit : str
        Unit of the pixels; empty if not known.
    dark : bool
        Whether the image is for a dark page.

    Returns
    -------
    bytes
        A PNG.
    """
    threshold, centre = in_words(data.threshold), in_words(data.centre)
    low, high = data.edges[0], data.edges[-1]
    if data.background is Background.LOCAL:
        level, noise, label = "background", "noise", "distance from the background (noise = 1)"
    else:
        level, noise = "mode", "rms"
        label = f"pixel value ({printable(unit)})" if unit else "pixel value"
    with _drawing(5.3, [_ABOVE_LEGEND], dark=dark) as ((axes,), colours, out):
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
            label=f"threshold {threshold} ({level} {MINUS} {data.static_sig:g} {noise})",
        )
        axes.axvline(data.centre, color=colours["ink"], linewidth=1.8, label=f"{level} {centre}")
        if data.limits:
            dashed: dict[str, Any] = {"color": colours["faint"], "lw": 1.6, "linestyle": "--"}
            limits = " and ".join(map(in_words, data.limits))
            axes.axvline(data.limits[0], label=f"clip limits {limits}", **dashed)
            axes.axvline(data.limits[1], **dashed)
        axes.set_xlabel(label, parse_math=False)
        axes.set_ylabel("pixels per bin")
        axes.locator_params(axis="x", nbins=5)
        axes.figure.legend(loc="lower left", frameon=False, borderaxespad=0)
    return out.getvalue()


def trend(series: Mapping[str, Sequence[float]], failed: Sequence[bool], *, dark: bool) -> bytes:
    """Draw the background, the noise and the low pixels of exposures one below the other.

    Parameters
    ----------
    series : mapping
        Three labels, each with a value per exposure; NaN leaves a gap.
    failed : sequence of bool
        Whether each exposure failed a check: it is marked.
    dark : bool
        Whether the image is for a dark page.

    Returns
    -------
    bytes
        A PNG.
    """
    numbers = np.arange(1, len(failed) + 1)
    marked = np.array(failed)
    dots = "o" if numbers.size <= _MOST_MARKED else ""
    with _drawing(6.2, _TREND, dark=dark) as (panels, colours, out):
        for axes, (label, numbers_of_one) in zip(panels, series.items(), strict=True):
            values = np.array(numbers_of_one, dtype=float)
            axes.plot(numbers, values, color=colours["faint"], marker=dots, markersize=5)
            axes.plot(
                numbers[marked], values[marked], color=BAD_COLOUR, marker="D", markersize=8, ls=""
            )
            axes.set_xlim(0.5, numbers.size + 0.5)
            axes.margins(y=0.15)
            axes.set_ylabel(label)
            axes.yaxis.set_label_coords(-0.25, 0.5)
            axes.locator_params(axis="y", nbins=4)
            axes.locator_params(axis="x", nbins=8, integer=True)
            axes.ticklabel_format(axis="y", useOffset=False, scilimits=(-4, 6))
            axes.tick_params(labelbottom=axes is panels[-1])
        panels[-1].set_xlabel("row of the table of exposures")
    return out.getvalue()


@contextmanager
def _drawing(
    height: float, places: Sequence[tuple[float, float, float, float]], *, dark: bool
) -> Iterator[tuple[list[Axes], dict[str, str], io.BytesIO]]:
    """Yield axes to draw on, the colours, and the file that holds the image afterwards."""
    quiet()
    from matplotlib import rc_context, style  # noqa: PLC0415 - an optional package
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    colours, out = _SCHEMES[dark], io.BytesIO()
    ink = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    looks: Any = {"font.size": 14, **dict.fromkeys(ink, colours["ink"])}
    # A user's matplotlibrc must not change a report, nor may warnings of matplotlib
    # and its dependencies about each other's versions reach the user.
    with silenced, style.context("default"), rc_context(looks):
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=colours["paper"])
        FigureCanvasAgg(figure)
        panels = [figure.add_axes(place, facecolor=colours["paper"]) for place in places]
        for axes in panels:
            axes.spines[:].set_color(colours["faint"])
        yield panels, colours, out
        raw = io.BytesIO()
        figure.savefig(raw, format="rgba")
        width, height = figure.canvas.get_width_height()
        points = np.frombuffer(raw.getvalue(), np.uint8).reshape(height, width, 4)
        out.write(paletted(points[..., :3]))


@functools.cache
def quiet() -> None:
    """Keep messages of matplotlib about its fonts and folders off standard error."""
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())
