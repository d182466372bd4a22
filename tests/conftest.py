"""Fixtures and settings of all tests."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
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
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def kernel_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the C kernel: the installed package may have an older one, or none."""
    build = pytest.importorskip("staticmask_cli.statistics._build_kernel", exc_type=ImportError)
    library = tmp_path_factory.mktemp("kernel") / "_kernel.so"
    if not build.compile_kernel(Path(build.__file__).with_name("_kernel.c"), library):
        pytest.skip("the C kernel cannot be compiled here")
    return library


@pytest.fixture(scope="session")
def kernel(kernel_library: Path) -> object:
    """Return the inner loops in C."""
    from staticmask_cli.statistics import c_loops  # noqa: PLC0415 - not before tests need it

    try:
        return c_loops.load(kernel_library)
    except c_loops.NotUsableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["NumPy", "C"])
def implementation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the tests of a module with the inner loops in NumPy, then with those in C."""
    from staticmask_cli.statistics import loops, numpy_loops  # noqa: PLC0415

    found = numpy_loops if request.param == "NumPy" else request.getfixturevalue("kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "chosen", lambda: found)
        yield


def reset_logging() -> None:
    """Undo what the command does to logging when it runs in this process."""
    log = logging.getLogger("staticmask_cli")
    for handler in [*log.handlers]:
        log.removeHandler(handler)
        handler.close()
    log.setLevel(logging.NOTSET)
    log.propagate = True


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """Start every test with logging as a new process has it."""
    yield
    reset_logging()


def without_settings() -> dict[str, str]:
    """Return the environment without configuration of staticmask."""
    return {k: v for k, v in os.environ.items() if not k.startswith("STATICMASK_")}


@pytest.fixture
def staticmask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process, in `tmp_path` unless `cwd` is given.

    It saves the 0.4 s in which a process imports NumPy and astropy.
    """

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        from staticmask_cli.cli.main import main  # noqa: PLC0415 - not before tests need it

        with monkeypatch.context() as patch:
            patch.chdir(environment.pop("cwd", tmp_path))
            for name in set(os.environ) - set(without_settings()):
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="staticmask")
        reset_logging()
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return subprocess.CompletedProcess(
            arguments, result.exit_code, result.stdout, result.stderr
        )

    return run


@pytest.fixture
def staticmask_process(tmp_path: Path) -> Run:
    """Run the command in a separate process, in `tmp_path` unless `cwd` is given."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "staticmask_cli", *map(str, arguments)],
            cwd=environment.pop("cwd", tmp_path),
            env=without_settings() | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
