"""Bad pixels as a table in text: one pixel, column, row or rectangle in a line.

A line has x and y, separated by a comma and counted from 1 as in DS9. Either may be a
number, a range such as ``10:20`` with both ends, or ``*`` for all. A line that names the
columns may come first; columns other than x and y are ignored, and so are blank lines and
what follows a ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.masks.boxes import filled
from staticmask_cli.masks.static_mask import StaticMask

_RANGE = re.compile(r"(\d{1,9})(?:\s*:\s*(\d{1,9}))?", re.ASCII)


def as_pixel_list(mask: StaticMask) -> str:
    """Return the bad pixels of a mask as a table, by rows.

    Returns
    -------
    str
        The columns x and y, counted from 1; if the mask has counts, also count and
        coverage: in how many exposures the pixel was bad, and finite.

    Examples
    --------
    >>> mask = StaticMask(shape=(2, 4), bits=np.packbits([0, 0, 0, 0, 0, 0, 0, 1]))
    >>> as_pixel_list(mask).splitlines()
    ['x,y', '4,2']
    """
    rows, columns = np.nonzero(mask.bad)
    values: dict[str, NDArray[Any]] = {"x": columns + 1, "y": rows + 1}
    if mask.count is not None and mask.coverage is not None:
        values |= {"count": mask.count[rows, columns], "coverage": mask.coverage[rows, columns]}
    lines = zip(*(column.tolist() for column in values.values()), strict=True)
    return "\n".join([",".join(values), *(",".join(map(str, line)) for line in lines), ""])


def read_pixel_list(name: str, text: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    r"""Return the pixels that a table lists.

    Parameters
    ----------
    name : str
        Name of the table in messages.
    text : str
        Its contents.
    shape : tuple of int
        Rows and columns of the mask.

    Raises
    ------
    InputError
        If a line cannot be understood or lies outside the mask.

    Examples
    --------
    >>> read_pixel_list("t.csv", "1,2\n2:3,*", (2, 3)).astype(int)
    array([[0, 1, 1],
           [1, 1, 1]])
    """
    boxes: list[tuple[int, int, int, int]] = []
    problems: dict[str, list[str]] = {}
    places = (0, 1)
    for number, cells in _lines(text):
        lower = [cell.lower() for cell in cells]
        if not boxes and not problems and {"x", "y"} <= set(lower):
            places = (lower.index("x"), lower.index("y"))
            continue
        try:
            x, y = (
                _extent(cells[place], size)
                for place, size in zip(places, reversed(shape), strict=True)
            )
        except (IndexError, ValueError):
            reason = "is not x,y: two numbers from 1, ranges such as 10:20, or *"
        else:
            boxes.append((x[0], y[0], x[1], y[1]))
            if x[0] + x[1] <= shape[1] and y[0] + y[1] <= shape[0]:
                continue
            reason = f"lies outside the mask of {shape[1]} columns and {shape[0]} rows"
        problems.setdefault(reason, []).append(f"line {number}: '{','.join(cells)}'")
    raise_problems(name, problems)
    return filled(boxes, shape)


def raise_problems(name: str, problems: dict[str, list[str]]) -> None:
    """Raise an InputError with a line for each reason, which names the first of its places."""
    if problems:
        raise InputError(
            *(
                f"{name}: {places[0]} {reason}"
                + (f" (and {len(places) - 1} more)" if len(places) > 1 else "")
                for reason, places in problems.items()
            )
        )


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if content := line.partition("#")[0].strip():
            yield number, [cell.strip() for cell in content.split(",")]


def _extent(cell: str, size: int) -> tuple[int, int]:
    """Return first pixel, from 0, and number of pixels of a cell."""
    if cell == "*":
        return 0, size
    match = _RANGE.fullmatch(cell)
    if match is None:
        raise ValueError(cell)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        raise ValueError(cell)
    return first - 1, last - first + 1
