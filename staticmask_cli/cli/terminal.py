"""What a user sees while and after a run: result lines and a progress bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from staticmask_cli.errors import OutputError


def echo(text: str) -> None:
    """Write to standard output; a reader that wants no more of it is no failure."""
    try:
        click.echo(text, nl=False)
    except BrokenPipeError:
        # Or Python would complain of it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, once more than a second's work turns out to be left."""
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
