"""Pictures without text of a mask over an exposure: arrays and numbers in, PNG out.

Colours stand here once: the report's page names them in its captions.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]
Pixels = NDArray[Any]
Bools = NDArray[np.bool_]

# Vermilion and sky blue: apart for every kind of colour vision, and from greys.
BAD_COLOUR = "#ff5a1f"
WINDOW_COLOUR = "#3fb6ff"
UNSEEN_COLOUR = "#4b3f72"

# How far from the median, in noise, is black and is white.
BLACK, WHITE = -2.0, 6.0

_WIDEST = 1400  # points of an overview's longer side
_LARGEST = 20  # points of a pixel's side there
_ZOOM = 64  # pixels of a zoom's side
_CELL = 8  # the densest region is looked for in steps of so many pixels
_GREYS = 48  # shades: more would double an overview's bytes and not be seen
_BAD, _WINDOW, _UNSEEN = range(_GREYS, _GREYS + 3)  # in the palette, after the greys
_COLOURS = [colour[1:] for colour in (BAD_COLOUR, WINDOW_COLOUR, UNSEEN_COLOUR)]
# A dot's width in points, and the share of a picture that dots so wide may cover.
_DOTS = ((7, 0.002), (5, 0.01), (3, 0.5))
_FRAME = 3  # points of the line around the zoomed region


def zoom_window(bad: Bools) -> Window:
    """Return the region that holds most bad pixels: the middle if there are none.

    Parameters
    ----------
    bad : ndarray of bool
        Rows x columns.

    Returns
    -------
    tuple of slice
        Rows and columns; 64 of each where there are so many. The region is
        looked for in steps of 8 pixels.
    """
    rows, columns = (min(_ZOOM, size) for size in bad.shape)
    y, x = np.nonzero(bad)
    if y.size:
        cells = tuple(-(-size // _CELL) for size in bad.shape)
        counts = np.zeros((cells[0] + 1, cells[1] + 1), dtype=np.int64)
        np.add.at(counts, (y // _CELL + 1, x // _CELL + 1), 1)
        table = counts.cumsum(axis=0).cumsum(axis=1)  # what lies below and left of each corner
        high, wide = (-(-size // _CELL) for size in (rows, columns))
        boxes = table[high:, wide:] - table[:-high, wide:] - table[high:, :-wide]
        boxes += table[:-high, :-wide]
        corner = np.unravel_index(np.argmax(boxes), boxes.shape)
        bottom, left = (int(cell) * _CELL for cell in corner)
    else:
        bottom, left = (
            (size - part) // 2 for size, part in zip(bad.shape, (rows, columns), strict=True)
        )
    bottom, left = min(bottom, bad.shape[0] - rows), min(left, bad.shape[1] - columns)
    return slice(bottom, bottom + rows), slice(left, left + columns)


def scale(shape: tuple[int, int]) -> tuple[int, int]:
    """Return how many pixels make one point of an overview, and how many points one pixel.

    One of the two is 1.
    """
    longest = max(shape)
    return -(-longest // _WIDEST), max(1, min(_LARGEST, _WIDEST // longest))


def dot(number: int, shape: tuple[int, int]) -> int:
    """Return how wide the dots of an overview are, in points.

    Parameters
    ----------
    number : int
        Bad pixels.
    shape : tuple of int
        Rows and columns.
    """
    block, times = scale(shape)
    points = math.prod(-(-size // block) * times for size in shape)
    return max([times, *(wide for wide, most in _DOTS if number * wide * wide <= most * points)])


def overview(
    pixels: Pixels, bad: Bools, median: float, noise: float, window: Window | None
) -> bytes:
    """Draw bad pixels over the exposure, row 0 at the bottom, without text.

    Parameters
    ----------
    pixels : ndarray
        The exposure: rows x columns, of any real type.
    bad : ndarray of bool
        Of the same shape. Each is marked by a dot that can be seen, smaller
        where the dots would hide the picture.
    median, noise : float
        The sky's: it is grey from `BLACK` to `WHITE`.
    window : tuple of slice, or None
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
    picture = picture.repeat(times, axis=0).repeat(times, axis=1)
    picture[_dots(bad, block, times)] = _BAD
    if window is not None:
        picture[_frame(window, picture.shape, block, times)] = _WINDOW
    return _png(picture[::-1])


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
    """Return the means of blocks of pixels, those without a number ignored."""
    if block == 1:
        return values
    missing = np.isnan(values)
    sums, counts = (_sums(part, block) for part in (np.where(missing, 0, values), ~missing))
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float32] = sums / counts
    return means


def _sums(values: Pixels, block: int) -> NDArray[np.float32]:
    """Return the sums of blocks; the last ones of rows and columns may be cut."""
    rows, columns = (-(-size // block) for size in values.shape)
    high = np.zeros((rows, values.shape[1]), dtype=np.float32)
    sums = np.zeros((rows, columns), dtype=np.float32)
    for start in range(block):  # strided additions: reduceat() would take five times as long
        part = values[start::block]
        high[: part.shape[0]] += part
    for start in range(block):
        part = high[:, start::block]
        sums[:, : part.shape[1]] += part
    return sums


def _dots(bad: Bools, block: int, times: int) -> Bools:
    """Return the points of an overview that mark bad pixels."""
    shape = [-(-size // block) for size in bad.shape]
    y, x = np.nonzero(bad)
    marked = np.zeros(shape, dtype=bool)
    marked[y // block, x // block] = True
    marked = marked.repeat(times, axis=0).repeat(times, axis=1)
    first = (times - dot(y.size, bad.shape)) // 2
    for up in range(first, times - first) if first else ():
        for right in range(first, times - first):
            rows, columns = y // block * times + up, x // block * times + right
            inside = (rows >= 0) & (rows < marked.shape[0])
            inside &= (columns >= 0) & (columns < marked.shape[1])
            marked[rows[inside], columns[inside]] = True
    return marked


def _frame(window: Window, shape: tuple[int, ...], block: int, times: int) -> Bools:
    """Return the points of a line around a region, outside of it where there is room."""
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


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture of palette numbers as a PNG: half the bytes of one of colours."""
    from PIL import Image  # noqa: PLC0415 - matplotlib needs it, and brings it

    height, width = picture.shape
    image = Image.frombytes("P", (width, height), picture.tobytes())
    greys = [(round(number * 255 / (_GREYS - 1)),) * 3 for number in range(_GREYS)]
    image.putpalette(b"".join(map(bytes, greys)) + b"".join(map(bytes.fromhex, _COLOURS)))
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()
