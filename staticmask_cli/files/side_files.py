"""Files that a run writes beside its masks: summary, report, pictures, log.

Their names may lie in folders that others can write to. So none is written
through a link, and what was there is replaced, if at all, by renaming.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from staticmask_cli.errors import OutputError
from staticmask_cli.files.atomic import created_folder, folder_problems, part_of

_FITS = (".fits", ".fits.gz", ".fits.fz")
_FITS_BEGINNINGS = (b"SIMPLE", b"\x1f\x8b")  # gzipped, too

# Where names such as /dev/stdout stand for what is open already.
_DESCRIPTORS = (Path("/dev"), Path(f"/proc/{os.getpid()}/fd"))


@dataclass(frozen=True, slots=True)
class SideFile:
    """One such file.

    Attributes
    ----------
    name : str
        Its name, as the user gave it.
    option : str
        The option that asks for it, for messages.
    kind : str
        What such files are called.
    beginning : bytes
        How they begin: a file that begins otherwise is one that somebody may
        miss, and is not replaced. An empty one is.
    """

    name: str
    option: str
    kind: str
    beginning: bytes

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(os.path.expanduser(self.name))  # noqa: PTH111 - Path's can raise

    def problem(self) -> str | None:
        """Return why it cannot be written, if it cannot: a line for the user."""
        reason = next(self._reasons(), None)
        return f"{self.option}: {self.name}: {reason}" if reason else None

    def _reasons(self) -> Iterator[str]:
        """Find reasons; each is looked for only if there is none before it."""
        if not self.name.strip() or "\0" in self.name:
            yield "is no name of a file"
        path = self.path
        if link := foreign_link(path):
            yield link
        if self.is_special:
            return
        if path.is_symlink():
            yield "is a link; give the name of the file itself"
        if path.is_dir():
            yield "is a folder"
        if path.name.lower().endswith(_FITS):
            yield "is a name for a mask or an exposure"
        yield from folder_problems(path.parent)
        if path.exists() and not self._may_be_replaced():
            yield f"is there, and is no {self.kind}; give another name"

    @property
    def is_special(self) -> bool:
        """Whether it is a pipe, a device or an open file: written into as it is."""
        with suppress(OSError):
            mode = self.path.lstat().st_mode
            is_open = stat.S_ISLNK(mode) and self.path.parent.resolve() in _DESCRIPTORS
            return is_open or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
        return False

    def _may_be_replaced(self) -> bool:
        try:
            with self.path.open("rb") as file:
                found = file.read(len(self.beginning) + len(_FITS_BEGINNINGS[0]))
        except OSError:
            return False
        return found == b"" or (
            found.startswith(self.beginning) and not found.startswith(_FITS_BEGINNINGS)
        )

    def open_at_end(self) -> int:
        """Open it to append to it, in a folder that is there; return the descriptor."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY
        if not self.is_special:
            flags |= os.O_CREAT | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o666)

    def write(self, data: bytes) -> None:
        """Write it whole, or not at all; its folder is made if missing.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if problem := self.problem():  # again, for the run may have taken its time
            raise OutputError(problem)
        path = self.path
        part = part_of(path)
        try:
            if self.is_special:
                with open(self.open_at_end(), "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(data)
                return
            with created_folder(path.parent):
                try:
                    with part.open("xb") as file:
                        file.write(data)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.option}: {self.name}: cannot be written: {error.strerror}"
            ) from None


def foreign_link(path: Path) -> str | None:
    """Return why a name is not followed: it leads over a link that a stranger may have laid.

    That is one of another user's in a folder in which everybody can make files;
    so Linux decides too where it is told to (``fs.protected_symlinks``).
    """
    shared = stat.S_ISVTX | stat.S_IWOTH
    path = path.absolute()
    for place in (path, *path.parents):
        with suppress(OSError):
            if (
                place.is_symlink()
                and place.lstat().st_uid not in (0, os.geteuid())
                and place.parent.stat().st_mode & shared == shared
            ):
                return f"{place} is another user's link, in a folder that all can write to"
    return None
