"""Files that a run writes beside its masks: summary, report, pictures."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from staticmask_cli.errors import OutputError, printable
from staticmask_cli.owners import clear_litter, part_of


def target(file: str) -> Path:
    """Return the file itself that a user's name for it means: a link stays, it is not replaced."""
    return Path(os.path.realpath(os.path.expanduser(file)))  # noqa: PTH111 - Path's can raise


def why_not(file: str, beginning: bytes, kind: str) -> str | None:
    """Return why a file cannot be written, if it cannot.

    Parameters
    ----------
    file : str
        Its name, as the user gave it.
    beginning : bytes
        How files of its kind begin: any other is one that somebody may miss,
        such as an exposure, and is not replaced. An empty one is.
    kind : str
        What such files are called.

    Returns
    -------
    str or None
        The reason, without the file's name.
    """
    if not file.strip() or "\0" in file:
        return "is no name of a file"
    path = target(file)
    if path.is_dir():
        return "is a folder"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    is_file = path.is_file()
    if not os.access(path.parent, os.W_OK | os.X_OK) and (is_file or not path.exists()):
        return f"permission to write into {path.parent} is denied"
    if is_file and not _may_be_replaced(path, beginning):
        return f"is there, and is no {kind}; give another name"
    return None  # also for a pipe or a device, which is written into as it is


def _may_be_replaced(path: Path, beginning: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(beginning)) in (b"", beginning)
    except OSError:
        return False


def write_whole(path: Path, data: bytes, option: str) -> None:
    """Write a file whole, or not at all.

    Parameters
    ----------
    path : Path
        As `target` returns it.
    data : bytes
        What it is to hold.
    option : str
        The option that asked for it, for the message.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    part = part_of(path)
    try:
        if path.exists() and not path.is_file():  # a pipe, /dev/null: not to be replaced
            path.write_bytes(data)
            return
        clear_litter(path.parent, path.name)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"{option}: {printable(path)}: cannot be written: {error.strerror}"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
