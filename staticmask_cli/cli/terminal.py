"""Results on standard output, a table if it is a terminal, and a progress bar."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from staticmask_cli.errors import OutputError, printable

#: The cells of a line of results; a line outside a table is a single cell.
Row = tuple[str, ...]

_GAP = "  "
_NUMBER = re.compile(r"[-+]?\d[\d./]*|-(/\d+)?")


def echo(text: str) -> None:
    """Write to standard output; a reader that closes it early is not an error."""
    try:
        click.echo(text, nl=False)
    except OSError as error:
        discard_output()
        if not isinstance(error, BrokenPipeError):
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None


def discard_output() -> None:
    """Discard what is left of an output that failed: Python would fail again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def laid_out(rows: Sequence[Row], heading: Row | None = None) -> str:
    """Return rows as text: in aligned columns for a terminal, otherwise separated by two blanks.

    Parameters
    ----------
    rows : sequence of tuple of str
        The cells. Rows with a single cell do not affect the widths of columns.
    heading : tuple of str, optional
        Headings of the columns, shown only on a terminal.
    """
    rows = [tuple(map(printable, row)) for row in rows]
    if sys.stdout is None or not sys.stdout.isatty():
        return "".join(f"{_GAP.join(row)}\n" for row in rows)
    table = [heading, *rows] if heading else rows
    widths: dict[int, int] = {}
    for row in table:
        if len(row) > 1:
            for column, cell in enumerate(row):
                widths[column] = max(len(cell), widths.get(column, 0))
    lines = [_aligned(row, widths) for row in table]
    if heading and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        lines[0] = click.style(lines[0], bold=True)
    return "".join(f"{line}\n" for line in lines)


def _aligned(row: Row, widths: dict[int, int]) -> str:
    if len(row) == 1:
        return row[0]
    cells = [
        cell.rjust(widths[column]) if _NUMBER.fullmatch(cell) else cell.ljust(widths[column])
        for column, cell in enumerate(row)
    ]
    return _GAP.join(cells).rstrip()


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal if more than a second of work remains."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    bar: Any = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        elapsed = time.monotonic() - began
        if bar is None and 0 < done < total and elapsed / done * (total - done) > 1:
            bar = click.progressbar(length=total, label="exposures", file=sys.stderr)
            bar.__enter__()
        if bar is not None:
            bar.update(done - bar.pos)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)
