"""Which process a lock or a half-written file belongs to, told by its name.

Such names are read by runs on other machines, in folders where nothing is
known but what the folder lists: so all that is needed stands in the name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

#: A token: machine, process, the process's start, something random.
TOKEN = re.compile(r"([0-9a-f]{8})-([0-9]+)-([0-9]*)-([0-9a-f]{8})")

# What a machine that we cannot ask about left behind is taken for dead after a
# day: no run stages its files that long before it renames them.
_LONGEST_LIFE = 86400.0


def new_token() -> str:
    """Return a token of this process that has never been given out before."""
    pid = os.getpid()
    return f"{_machine()}-{pid}-{_start_of(pid)}-{secrets.token_hex(4)}"


def is_gone(token: str) -> bool | None:
    """Tell whether the process of a token has ended.

    Parameters
    ----------
    token : str
        As `new_token` makes them.

    Returns
    -------
    bool or None
        None if it runs where we cannot ask, or the text is no token.
    """
    match = TOKEN.fullmatch(token)
    if match is None or match[1] != _machine():
        return None
    pid, start = int(match[2]), match[3]
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        pass  # it is somebody else's, so it lives
    # The number may have been given to another process since.
    return _start_of(pid) != start


def clear_litter(folder: Path, name: str) -> None:
    """Remove what dead runs left of a file or lock that they were making.

    Parameters
    ----------
    folder : Path
        Where to look.
    name : str
        The file's final name, ``*`` for a part of it: litter is called
        ``.NAME.TOKEN.part``.
    """
    wanted = re.compile(
        r"\." + ".*".join(map(re.escape, name.split("*"))) + rf"\.({TOKEN.pattern})\.part",
        re.DOTALL,
    )
    with suppress(OSError):
        for entry in os.scandir(folder):
            match = wanted.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                gone = is_gone(match[1])
                if not (age > _LONGEST_LIFE if gone is None else gone):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)  # noqa: PTH108 - a DirEntry


def part_of(path: Path) -> Path:
    """Return the name under which a file is made before it gets its own."""
    return path.with_name(f".{path.name}.{new_token()}.part")


@functools.cache
def _machine() -> str:
    """Return a short name of this machine as long as it is up, and of this container on it.

    Process numbers mean something only within these.
    """
    known = [os.uname().nodename]
    with suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        known.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(known).encode("utf-8", "replace")).hexdigest()[:8]


def _start_of(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty where that is not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # The second field, the command's name, may hold blanks and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):  # dead, though its parent has not asked yet
        return "0"
    return fields[19].decode("ascii")
