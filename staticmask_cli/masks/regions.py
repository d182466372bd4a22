"""Bad pixels as DS9 regions: boxes in image coordinates, written and read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.masks.boxes import boxes_of, filled
from staticmask_cli.masks.pixel_lists import raise_problems
from staticmask_cli.masks.static_mask import StaticMask

_IMAGE, _PHYSICAL = "image", "physical"
# The other coordinate systems of DS9. Which one counts for a linear system, or for a file
# with several images, is decided by the image that DS9 shows.
_OTHER_SYSTEMS = re.compile(
    r"(amplifier|detector|linear|wcs[a-z]?|fk4|b1950|fk5|j2000|icrs|galactic|ecliptic|tile \d+)",
    re.IGNORECASE,
)
_SHAPE = re.compile(r"([+-]?)\s*([a-z]+)\b\s*[( ]([^()]*)\)?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d{1,9}\.?\d{0,30}|\.\d{1,30})(e[+-]?\d{1,2})?", re.ASCII)
# The values of the shapes that can be read; the angle may be missing.
_VALUES = {"box": ("x", "y", "width", "height", "angle"), "point": ("x", "y")}
# A semicolon between regions, or a comment that is part of one, unless quoted: groups are
# quoted text and the rest.
_PIECES = re.compile(r"""("[^"]*"|'[^']*'|\{[^}]*\})|([;#])""")


def as_regions(mask: StaticMask) -> str:
    """Return the bad pixels of a mask as a region file of DS9.

    Runs of pixels with the same columns in successive rows are one box, because DS9 becomes
    slow with many regions.

    Examples
    --------
    >>> mask = StaticMask(shape=(2, 4), bits=np.packbits([0, 0, 1, 0, 0, 0, 1, 0]))
    >>> as_regions(mask).splitlines()[-2:]
    ['image', 'box(3,1.5,1,2,0)']
    """
    lines = ["# Region file format: DS9 version 4.1", "global color=red", _IMAGE]
    for x, y, width, height in boxes_of(mask.bad).tolist():
        # The centre of the first pixel is 1,1.
        centre = f"{x + (width + 1) / 2:.12g},{y + (height + 1) / 2:.12g}"
        lines.append(f"box({centre},{width},{height},0)")
    return "\n".join([*lines, ""])


def read_regions(
    name: str, text: str, shape: tuple[int, int], identity: ChipIdentity
) -> NDArray[np.bool_]:
    """Return the pixels that regions cover: those whose centres are inside a box, and points.

    Parameters
    ----------
    name : str
        Name of the region file in messages.
    text : str
        Its contents. A box may be turned by multiples of 90 degrees. Coordinates are image
        or physical ones; without either word they are physical, as in DS9.
    shape : tuple of int
        Rows and columns of the mask.
    identity : ChipIdentity
        Its identity, for physical coordinates.

    Raises
    ------
    InputError
        If a region is of another kind, cannot be understood or covers no pixel of the mask.

    Examples
    --------
    >>> hrc = ChipIdentity(instrument="ACS", detector="HRC", number=1, rows=2, columns=3)
    >>> read_regions("my.reg", "image; point(1,2); box(2.5,1,2,1,0)", (2, 3), hrc).astype(int)
    array([[0, 1, 1],
           [1, 0, 0]])
    """
    boxes: list[tuple[int, int, int, int]] = []
    problems: dict[str, list[str]] = {}
    system = _PHYSICAL
    for number, command in _commands(text):
        word = command.lower()
        reason = ""
        if word in (_IMAGE, _PHYSICAL):
            system = word
        elif _OTHER_SYSTEMS.fullmatch(word):
            reason = "is not image or physical; save the regions in DS9's image coordinates"
        elif not word.startswith("global"):
            try:
                box = _box(word, identity if system == _PHYSICAL else None)
            except ValueError as error:
                reason = str(error)
            else:
                boxes.append(box)
                if not _overlaps(box, shape):
                    reason = f"covers no pixel of {shape[1]} columns and {shape[0]} rows"
        if reason:
            problems.setdefault(reason, []).append(f"line {number}: '{command}'")
        if reason and _OTHER_SYSTEMS.fullmatch(word):
            break  # the regions that follow are in those coordinates
    raise_problems(name, problems)
    return filled(boxes, shape)


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """Yield the commands, without comments and properties, each with its line."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        piece, end, is_comment = "", 0, False
        for match in _PIECES.finditer(f"{line};"):
            if match[1]:
                continue
            piece += "" if is_comment else line[end : match.start()]
            is_comment = match[2] == "#" or is_comment
            end = match.end()
            if match[2] == ";":
                if piece.strip():
                    yield number, piece.strip()
                piece, is_comment = "", False


def _overlaps(box: tuple[int, int, int, int], shape: tuple[int, int]) -> bool:
    """Return whether a box covers any pixel of a mask."""
    x, y, width, height = box
    rows, columns = shape
    return max(x, 0) < min(x + width, columns) and max(y, 0) < min(y + height, rows)


def _box(command: str, identity: ChipIdentity | None) -> tuple[int, int, int, int]:
    """Return the pixels of a region as a box, as in `Boxes`.

    Its coordinates are physical if there is an identity. ValueError gives the reason if it
    cannot be understood.
    """
    shape, (x, y, *more) = _parsed(command)
    xbin = ybin = 1
    if identity is not None:
        xbin, ybin = identity.xbin, identity.ybin
        x, y = (x - identity.x0 - 0.5) / xbin + 0.5, (y - identity.y0 - 0.5) / ybin + 0.5
    if shape == "point":
        return math.floor(x + 0.5) - 1, math.floor(y + 0.5) - 1, 1, 1
    width, height, *angle = more
    turns, rest = divmod(angle[0] if angle else 0.0, 90)
    if rest:
        raise ValueError("is turned; only multiples of 90 degrees can be read")
    if turns % 2:
        width, height = height, width
    # Of a pixel whose centre is on an edge, the lower edge counts as inside.
    left, right = (math.ceil(x + side * width / xbin / 2) - 1 for side in (-1, 1))
    below, above = (math.ceil(y + side * height / ybin / 2) - 1 for side in (-1, 1))
    return left, below, right - left, above - below


def _parsed(command: str) -> tuple[str, list[float]]:
    """Return the name of a shape and its numbers; ValueError as for `_box`."""
    match = _SHAPE.fullmatch(command)
    if match is None:
        raise ValueError("is not a region")
    sign, shape, values = match.groups()
    if shape not in _VALUES:
        raise ValueError("is not a box or a point")
    if sign == "-":
        raise ValueError("is an excluded region; remove it")
    words = values.replace(",", " ").split()
    if not all(map(_NUMBER.fullmatch, words)):
        raise ValueError("has a value that is not a number of pixels")
    names = _VALUES[shape]
    if len(words) not in (len(names), len(names) - names.count("angle")):
        raise ValueError(f"is not {shape}({','.join(names)})")
    return shape, list(map(float, words))
