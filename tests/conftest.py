"""What every test has at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.runs import Run

# The same examples on every machine and every day; no deadline, for these machines are shared.
settings.register_profile("tests", derandomize=True, deadline=None)
settings.load_profile("tests")


@pytest.fixture
def staticmask(tmp_path: Path) -> Run:
    """Run the command as a user does, in a process of its own, in `tmp_path`."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        cwd = environment.pop("cwd", tmp_path)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("STATICMASK_")}
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "staticmask_cli", *map(str, arguments)],
            cwd=cwd,
            env=clean | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
