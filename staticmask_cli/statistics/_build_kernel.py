"""The build hook that compiles the C kernel, if there is a C compiler; not installed itself."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "staticmask_cli/statistics"
LIBRARY = "_kernel.so"
# Contraction into fused operations and -ffast-math would change results.
FLAGS = ("-std=c99", "-O3", "-fPIC", "-shared", "-ffp-contract=off", "-fno-fast-math", "-s")


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled kernel to a wheel, or puts it next to its source for an editable one.

    Without a compiler, or if it fails, the wheel is one for any platform.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the kernel before the wheel is built."""
        folder = Path(self.root, FOLDER)
        library = folder / LIBRARY
        if version != "editable":
            self._temporary = tempfile.TemporaryDirectory()
            library = Path(self._temporary.name, LIBRARY)
        if not compile_kernel(folder / "_kernel.c", library):
            self.app.display_info("The C kernel was not compiled; NumPy is used.")
            return
        if version != "editable":
            build_data["force_include"][str(library)] = f"{FOLDER}/{LIBRARY}"
        # The library does not use Python's API: one for all versions of Python.
        system = sysconfig.get_platform().translate(str.maketrans("-.", "__"))
        build_data.update(pure_python=False, tag=f"py3-none-{system}")

    def finalize(self, version: str, *_: object) -> None:
        """Remove the compiled kernel after the wheel is built."""
        if version != "editable":
            self._temporary.cleanup()


def compile_kernel(source: Path, target: Path) -> bool:
    """Compile the kernel with the first compiler that succeeds; return whether one did.

    An old library at `target` is removed in any case.
    """
    target.unlink(missing_ok=True)
    if platform.machine() != "x86_64":  # it would never be used
        return False
    compilers = os.environ.get("CC", "cc"), "cc", "gcc", "clang"
    return any(_compiles(compiler, source, target) for compiler in compilers)


def _compiles(compiler: str, source: Path, target: Path) -> bool:
    output = target.with_suffix(".new")
    try:
        command = [*shlex.split(compiler), *FLAGS, "-o", str(output), str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)  # noqa: S603
        content = output.read_bytes()
        # The loader checks it: a library that is damaged could end the process.
        target.write_bytes(content + hashlib.sha256(content).digest())
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    finally:
        output.unlink(missing_ok=True)
    return True
