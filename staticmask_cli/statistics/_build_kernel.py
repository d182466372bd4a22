"""The build hook that compiles the C kernel, if there is a C compiler; not installed itself."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "staticmask_cli/statistics"
# Contraction into fused operations and -ffast-math would change results.
FLAGS = ("-std=c99", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math", "-s")


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled kernel to a wheel, or puts it next to its source for an editable one.

    Without a compiler, or if it fails, the wheel is one for any platform.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernel before the wheel is built."""
        folder = Path(self.root, FOLDER)
        target = Path(tempfile.mkdtemp()) / "_kernel.so"
        if version == "editable":
            target = folder / "_kernel.so"
            target.unlink(missing_ok=True)
        if not compile_kernel(folder / "_kernel.c", target):
            self.app.display_info("The C kernel was not compiled; NumPy is used.")
            return
        if version != "editable":
            build_data["force_include"][str(target)] = f"{FOLDER}/_kernel.so"
        # The library does not use Python: one for all versions of it.
        system = sysconfig.get_platform().translate(str.maketrans("-.", "__"))
        build_data.update(pure_python=False, tag=f"py3-none-{system}")


def compile_kernel(source: Path, target: Path) -> bool:
    """Compile the kernel with the first compiler that succeeds; return whether one did."""
    if platform.machine() != "x86_64":  # it would never be used
        return False
    return any(_compiles([*compiler, *FLAGS], source, target) for compiler in _compilers())


def _compilers() -> Iterator[list[str]]:
    if os.environ.get("CC"):
        yield shlex.split(os.environ["CC"])
    yield from (["cc"], ["gcc"], ["clang"])


def _compiles(command: list[str], source: Path, target: Path) -> bool:
    output = target.with_suffix(".new")
    try:
        subprocess.run(  # noqa: S603 - the user's own compiler
            [*command, "-o", str(output), str(source)], check=True, capture_output=True, timeout=300
        )
        content = output.read_bytes()
        # The loader checks it: a library that is damaged could end the process.
        target.write_bytes(content + hashlib.sha256(content).digest())
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    finally:
        output.unlink(missing_ok=True)
    return True
