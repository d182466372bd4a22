"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.runs import Run

# The same examples in every run; no deadlines, because CI machines are shared.
settings.register_profile("tests", derandomize=True, deadline=None)
settings.load_profile("tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape captured file names that are not valid UTF-8: pytest-xdist cannot send them."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections
    ]
    return report


@pytest.fixture
def staticmask(tmp_path: Path) -> Run:
    """Run the command in a separate process, in `tmp_path` unless `cwd` is given."""

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
