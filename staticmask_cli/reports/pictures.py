"""Draw whole chips as PNG images without text: a mask over an exposure, a map of counts.

The colours of the report are defined here; the page names them in its captions.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]
Pixels = NDArray[Any]
Bools = NDArray[np.bool_]

# Vermilion and sky blue: distinct for every kind of colour vision, and from greys.
BAD_COLOUR = "#ff5a1f"
WINDOW_COLOUR = "#3fb6ff"
UNSEEN_COLOUR = "#4b3f72"
NEVER_COLOUR = "#05070a"

# Distance from the median, in units of the noise, that is drawn black and white.
BLACK, WHITE = -2.0, 6.0

_WIDEST = 1400  # points of the longer side of an image
_LARGEST = 20  # points of the side of a pixel
_ZOOMS = (64, 128, 256)  # pixels of the side of a zoom
_ENOUGH = 12  # bad pixels, or half of all: the smallest zoom with this many is used
_CELL = 8  # pixels per step in the search for the densest region
_GREYS = 48  # shades: more would double the size of an overview without being visible
_BAD, _WINDOW, _UNSEEN = range(_GREYS, _GREYS + 3)  # in the palette, after the greys
_PALETTE = 256  # colours of a PNG with a palette
_FRAME = 3  # points: the width of the line around the zoomed region
_SINGLE_COUNTS = 6  # up to here each count of a map has its own colour


def zoom_window(bad: Bools) -> Window:
    """Return the square region with the most bad pixels, centred on them.

    Parameters
    ----------
    bad : ndarray of bool
        Rows x columns.

    Returns
    -------
    tuple of slice
        Rows and columns: 64 of each, or up to 256 where bad pixels are sparse;
        fewer if the array has fewer. The middle of the array if no pixel is bad.
    """
    y, x = np.nonzero(bad)
    if not y.size:
        return _centred([size / 2 for size in bad.shape], _ZOOMS[0], bad.shape)
    cells = np.zeros([-(-size // _CELL) for size in bad.shape], dtype=np.int64)
    np.add.at(cells, (y // _CELL, x // _CELL), 1)
    for side in _ZOOMS:
        bottom, left = _densest(cells, side // _CELL)
        inside = (y >= bottom) & (y < bottom + side) & (x >= left) & (x < left + side)
        if np.count_nonzero(inside) >= min(_ENOUGH, y.size / 2):
            break
    centre = [(int(axis.min()) + int(axis.max()) + 1) / 2 for axis in (y[inside], x[inside])]
    return _centred(centre, side, bad.shape)


def _densest(cells: NDArray[np.int64], side: int) -> tuple[int, int]:
    """Return the corner, in pixels, of the square of cells with the highest sum."""
    high, wide = (min(side, size) for size in cells.shape)
    table = np.pad(cells, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    boxes = table[high:, wide:] - table[:-high, wide:] - table[high:, :-wide]
    boxes += table[:-high, :-wide]
    bottom, left = np.unravel_index(np.argmax(boxes), boxes.shape)
    return int(bottom) * _CELL, int(left) * _CELL


def _centred(centre: Sequence[float], side: int, shape: tuple[int, ...]) -> Window:
    """Return the region around a place, shifted to lie inside an array."""
    rows, columns = (
        slice(start := min(max(0, math.floor(middle - side / 2)), max(0, size - side)),
              min(start + side, size))
        for middle, size in zip(centre, shape, strict=True)
    )  # fmt: skip
    return rows, columns


def scale(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the number of pixels per image point, and of points per pixel; one of them is 1."""
    longest = max(shape)
    return -(-longest // _WIDEST), max(1, min(_LARGEST, _WIDEST // longest))


def overview(pixels: Pixels, bad: Bools, median: float, noise: float, window: Window) -> bytes:
    """Draw bad pixels over an exposure, row 0 at the bottom.

    Parameters
    ----------
    pixels : ndarray
        The exposure: rows x columns, of any real type.
    bad : ndarray of bool
        The bad pixels, of the same shape; each covers at least one point.
    median, noise : float
        Statistics of the sky, in the unit of `pixels`; greys range from `BLACK` to `WHITE`.
    window : tuple of slice
        A region to frame.

    Returns
    -------
    bytes
        A PNG.
    """
    block, times = scale(bad.shape)
    shade = _blocks(stretched(pixels, median, noise), block)
    unseen = ~np.isfinite(shade)
    picture = np.round(np.where(unseen, 0, shade) * (_GREYS - 1)).astype(np.uint8)
    picture[unseen] = _UNSEEN
    picture[_largest(bad, block)] = _BAD
    picture = picture.repeat(times, axis=0).repeat(times, axis=1)
    picture[_frame(window, picture.shape, block, times)] = _WINDOW
    greys = ["#" + f"{round(number * 255 / (_GREYS - 1)):02x}" * 3 for number in range(_GREYS)]
    return _png(picture, [*greys, BAD_COLOUR, WINDOW_COLOUR, UNSEEN_COLOUR])


def count_classes(most: int) -> list[tuple[int, int]]:
    """Return the ranges of counts, both ends included, that a map shows in one colour.

    Parameters
    ----------
    most : int
        The largest possible count.

    Examples
    --------
    >>> count_classes(4)
    [(1, 1), (2, 2), (3, 3), (4, 4)]
    >>> count_classes(20)
    [(1, 1), (2, 3), (4, 7), (8, 15), (16, 20)]
    """
    if most <= _SINGLE_COUNTS:
        return [(count, count) for count in range(1, most + 1)]
    starts = [1 << power for power in range(most.bit_length())]
    return [(start, min(2 * start - 1, most)) for start in starts]


def count_colours(classes: int) -> list[str]:
    """Return a colour for each class of counts; higher counts are brighter."""
    from matplotlib import colormaps  # noqa: PLC0415 - an optional package
    from matplotlib.colors import to_hex  # noqa: PLC0415

    return [to_hex(colour) for colour in colormaps["plasma"](np.linspace(0.4, 1, classes))]


def count_map(counts: NDArray[Any], classes: Sequence[tuple[int, int]]) -> bytes:
    """Draw how often each pixel was bad, row 0 at the bottom.

    Parameters
    ----------
    counts : ndarray of int
        Rows x columns. If pixels share a point, the highest count is drawn.
    classes : sequence of tuple
        As `count_classes` returns them.

    Returns
    -------
    bytes
        A PNG.
    """
    block, times = scale(counts.shape)
    numbers = np.digitize(_largest(counts, block), [first for first, _ in classes])
    picture = numbers.astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    return _png(picture, [NEVER_COLOUR, *count_colours(len(classes))])


def paletted(picture: NDArray[np.uint8]) -> bytes:
    """Return an RGB image, row 0 at the top, as a PNG with a palette: a third of the size.

    The colours of the report remain exact. Beyond 256 colours, the rarest, at the
    edges of lines and letters, are replaced by the nearest of the others.
    """
    places = np.array([16, 8, 0], dtype=np.uint32)
    packed = np.bitwise_or.reduce(picture.astype(np.uint32) << places, axis=-1)
    colours, numbers, counts = np.unique(packed, return_inverse=True, return_counts=True)
    ours = [int(colour[1:], 16) for colour in (BAD_COLOUR, WINDOW_COLOUR, UNSEEN_COLOUR)]
    kept = np.lexsort((-counts, ~np.isin(colours, ours)))[:_PALETTE]
    parts = (colours[:, None] >> places & 255).astype(np.int64)
    distances = ((parts[:, None] - parts[kept]) ** 2).sum(axis=-1)
    nearest = distances.argmin(axis=1).astype(np.uint8)[numbers].reshape(packed.shape)
    return _png(nearest[::-1], [f"#{colour:06x}" for colour in colours[kept]])


def stretched(pixels: Pixels, median: float, noise: float) -> NDArray[np.float32]:
    """Return 0 for black to 1 for white; NaN for pixels that are not finite."""
    with np.errstate(all="ignore"):
        values = pixels.astype(np.float32)
        values[~np.isfinite(values)] = np.nan
        unit = noise if noise > 0 and math.isfinite(noise) else 1.0
        values -= np.float32(median if math.isfinite(median) else 0.0)
        values *= np.float32(1 / ((WHITE - BLACK) * unit))
        values -= np.float32(BLACK / (WHITE - BLACK))
        return np.clip(values, 0, 1, out=values)


def _blocks(values: NDArray[np.float32], block: int) -> NDArray[np.float32]:
    """Return the means of the finite pixels in blocks."""
    if block == 1:
        return values
    missing = np.isnan(values)
    parts = (np.where(missing, np.float32(0), values), (~missing).astype(np.float32))
    sums, counts = (_reduced(part, block, np.add) for part in parts)
    with np.errstate(invalid="ignore"):
        return np.divide(sums, counts, dtype=np.float32)


def _largest(values: Pixels, block: int) -> Pixels:
    """Return the largest value in each block; for booleans, whether any is true."""
    return _reduced(values, block, np.maximum)


def _reduced(values: Pixels, block: int, reduce: np.ufunc) -> Pixels:
    """Reduce blocks of pixels, none negative; those at the upper edges may be incomplete."""
    rows, columns = (-(-size // block) for size in values.shape)
    high = np.zeros((rows, values.shape[1]), dtype=values.dtype)
    out = np.zeros((rows, columns), dtype=values.dtype)
    for start in range(block):  # strided additions: reduceat() would take five times as long
        part = values[start::block]
        reduce(high[: part.shape[0]], part, out=high[: part.shape[0]])
    for start in range(block):
        part = high[:, start::block]
        reduce(out[:, : part.shape[1]], part, out=out[:, : part.shape[1]])
    return out


def _frame(window: Window, shape: tuple[int, ...], block: int, times: int) -> Bools:
    """Return the points of a line around a region, outside it if possible."""
    outer, inner = [], []
    for part, size in zip(window, shape, strict=True):
        start = max(0, part.start // block * times - _FRAME)
        stop = min(size, -(-part.stop // block) * times + _FRAME)
        outer.append(slice(start, stop))
        inner.append(slice(start + _FRAME, max(start + _FRAME, stop - _FRAME)))
    line = np.zeros(shape, dtype=bool)
    line[tuple(outer)] = True
    line[tuple(inner)] = False
    return line


def _png(picture: NDArray[np.uint8], palette: Sequence[str]) -> bytes:
    """Return a PNG of palette indices, row 0 at the bottom: half the size of RGB."""
    from PIL import Image  # noqa: PLC0415 - a dependency of matplotlib

    height, width = picture.shape
    image = Image.frombytes("P", (width, height), picture[::-1].tobytes())
    image.putpalette(b"".join(bytes.fromhex(colour[1:]) for colour in palette))
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()
