"""The files that commands on masks write: new ones, unless overwriting was asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from staticmask_cli.errors import OutputError, one_line_each
from staticmask_cli.files.atomic import State, created_folder, state_of
from staticmask_cli.files.locks import locked
from staticmask_cli.settings import Settings


@contextmanager
def output_files(
    names: Iterable[str], inputs: Iterable[Path], settings: Settings
) -> Iterator[dict[Path, State]]:
    """Lock the output folder, created if missing, and check that files can be written there.

    Parameters
    ----------
    names : iterable of str
        Names of the files.
    inputs : iterable of Path
        Files that are never replaced.
    settings : Settings
        ``output_dir``, ``overwrite`` and ``lock_timeout`` apply.

    Yields
    ------
    dict
        The path of each name, with its state.

    Raises
    ------
    OutputError
        If two files have the same name, one exists and must not be replaced, or the folder
        cannot be locked.
    """
    folder = Path(settings.output_dir)
    with created_folder(folder), locked(folder, settings.lock_timeout):
        own = set(map(os.path.realpath, inputs))
        paths: list[Path] = []
        problems: dict[str, list[Path]] = {}
        for path in (folder / name for name in names):
            if path in paths:
                reason = "would be written twice; use a folder of its own for each"
            elif os.path.realpath(path) in own:
                reason = "is an input, which is never replaced; use another --output-dir"
            elif os.path.lexists(path) and not settings.overwrite:
                reason = "exists; use --overwrite to replace it"
            elif os.path.lexists(path) and not os.path.isfile(path):  # noqa: PTH113 - can raise
                reason = "is not a regular file; move it away"
            else:
                paths.append(path)
                continue
            problems.setdefault(reason, []).append(path)
        if problems:
            raise OutputError(*one_line_each(problems))
        yield {path: state_of(path) for path in paths}


def mask_name(path: Path) -> str:
    """Return the name of a mask that is made from another one: the same, not gzipped."""
    return path.name.removesuffix(".gz")
