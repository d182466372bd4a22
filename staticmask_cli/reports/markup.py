"""Pieces of HTML: text, images, tables; all that comes from outside is escaped here."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Sequence
from html import escape

from staticmask_cli.errors import printable
from staticmask_cli.reports.figures import MINUS

#: What stands in place of a number that there is not.
NOTHING = "\N{EN DASH}"

_DIGITS = 6
_PLAIN = (1e-3, 1e7)  # numbers between these are written without a power of ten

#: A table's cell: its class and its HTML.
Cell = tuple[str, str]


def text(value: object) -> str:
    """Return text from wherever, a file's name perhaps, as it may stand in HTML."""
    return escape(printable(value))


def image(pngs: Sequence[bytes], alt: str) -> str:
    """Return an image; the second of two is for dark pages."""
    light, *dark = ("data:image/png;base64," + base64.b64encode(png).decode() for png in pngs)
    # A PNG's header has them at a fixed place.
    width, height = (int.from_bytes(pngs[0][at : at + 4]) for at in (16, 20))
    drawn = f'<img src="{light}" alt="{text(alt)}" width="{width}" height="{height}">'
    if not dark:
        return drawn
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark[0]}">'
    return f"<picture>{source}{drawn}</picture>"


def table(
    label: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], marked: Collection[int] = ()
) -> str:
    """Return a table that scrolls by itself where it is wider than the page."""
    kinds = [kind for kind, _ in rows[0]] if rows else [""] * len(heads)
    lines = [
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(label)}">',
        "<table>",
        "<thead><tr>"
        + "".join(f'<th scope="col"{_class(k)}>{h}</th>' for k, h in zip(kinds, heads, strict=True))
        + "</tr></thead>",
        "<tbody>",
    ]
    for number, ((kind, first), *cells) in enumerate(rows):
        row = "<tr" + (_class("pictured") if number in marked else "") + ">"
        row += f'<th scope="row"{_class(kind)}>{first}</th>'
        lines.append(row + "".join(f"<td{_class(k)}>{c}</td>" for k, c in cells) + "</tr>")
    return "\n".join([*lines, "</tbody>", "</table>", "</div>"])


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def decimals(values: Sequence[float]) -> list[str]:
    """Return a column of numbers, all with the same decimals, so that they stand in line."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest and not _PLAIN[0] <= largest < _PLAIN[1]:
        kind = f".{_DIGITS - 1}e"
    else:
        whole = math.floor(math.log10(largest)) + 1 if largest else 1
        kind = f".{min(_DIGITS, max(0, _DIGITS - whole))}f"
    return [
        format(value, kind).replace("-", MINUS) if math.isfinite(value) else NOTHING
        for value in values
    ]
