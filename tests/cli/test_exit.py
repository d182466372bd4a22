"""The end of the process: no teardown of the interpreter, and nothing that others notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import without_settings
from tests.support.makers import REAL
from tests.support.runs import Run

UNBUFFERED = "PYTHONUNBUFFERED"
MAIN = "\nfrom staticmask_cli.__main__ import main\nmain()\n"


def environment() -> dict[str, str]:
    """Return an environment in which output is buffered, as is usual."""
    return {name: value for name, value in without_settings().items() if name != UNBUFFERED}


def ended(
    before: str, *arguments: str | Path, folder: Path | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, after the lines `before`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", before + MAIN, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        text=True,
        timeout=60,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )


TORN_DOWN = """
class Last:
    def __del__(self):
        print('torn down')
last = Last()
"""


@pytest.mark.parametrize("arguments", [["--version"], ["-q", REAL]])
def test_the_interpreter_is_not_torn_down(arguments: list[str | Path], tmp_path: Path) -> None:
    process = ended(TORN_DOWN, *arguments, folder=tmp_path)
    assert process.returncode == 0
    assert "torn down" not in process.stdout


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (0, ["--help"]),
        (0, ["--show-config"]),
        (0, ["-n", REAL]),
        (1, ["missing.fits"]),
        (2, ["--no-such-option"]),
        (2, ["--static-sig", "0", REAL]),
        (4, ["--strict", "--max-bad", "0", REAL]),
    ],
)
def test_the_exit_status_is_kept(
    status: int, arguments: list[str | Path], staticmask_process: Run
) -> None:
    process = staticmask_process(*arguments)
    assert process.returncode == status
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--no-such-option"], ["-q", REAL]])
def test_functions_registered_with_atexit_are_called_last_to_first(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    before = "import atexit\nfor word in 'second', 'first': atexit.register(print, word)\n"
    process = ended(before, *arguments, folder=tmp_path)
    assert process.stdout.endswith("first\nsecond\n")
    assert process.returncode == (2 if "--no-such-option" in arguments else 0)


def test_a_temporary_folder_is_removed(tmp_path: Path) -> None:
    before = f"import tempfile\nfolder = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
    check = "import os\nassert os.path.isdir(folder.name)\n"
    process = ended(before + check, "--version")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--version"], ["missing.fits"]])
def test_threads_that_are_still_running_are_awaited(arguments: list[str], tmp_path: Path) -> None:
    before = (
        "import threading, time\n"
        "def work():\n    time.sleep(0.5)\n    open('done', 'w').close()\n"
        "threading.Thread(target=work).start()\n"
    )
    process = ended(before, *arguments, folder=tmp_path)
    assert (tmp_path / "done").exists()
    assert process.returncode == int(arguments != ["--version"])


def test_child_processes_are_awaited_or_stopped(tmp_path: Path) -> None:
    before = (
        "import multiprocessing, pathlib, sys, time\n"
        "context = multiprocessing.get_context('fork')\n"
        "def work(name, seconds):\n    time.sleep(seconds)\n    pathlib.Path(name).touch()\n"
        "context.Process(target=work, args=('awaited', 0.5)).start()\n"
        "context.Process(target=work, args=('stopped', 60), daemon=True).start()\n"
    )
    process = ended(before, "--version", folder=tmp_path)
    assert process.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["awaited"]


def test_a_log_file_is_complete(staticmask_process: Run, tmp_path: Path) -> None:
    process = staticmask_process("-q", REAL, "--log-file", "run.log")
    assert process.returncode == 0
    assert (tmp_path / "run.log").read_text().splitlines()[-1].endswith("ended with exit status 0")


def test_text_that_others_left_in_a_buffer_is_written(tmp_path: Path) -> None:
    before = "import sys\nsys.stdout.write('out ')\nsys.stderr.write('error')\n"
    process = ended(before, "-q", REAL, folder=tmp_path)
    assert (process.stdout, process.stderr, process.returncode) == ("out ", "error", 0)


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@FULL
def test_a_buffer_that_cannot_be_written_is_reported_by_python(tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        process = ended("print('more')", "-q", REAL, folder=tmp_path, stdout=full)
    assert process.returncode == 120
    assert "No space left on device" in process.stderr


@FULL
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["--show-config"], [REAL], [REAL, "--summary", "-"]]
)
def test_a_full_standard_output_is_one_line_and_status_1(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        process = ended("", *arguments, folder=tmp_path, stdout=full)
    assert process.returncode == 1
    reason = "standard output cannot be written: No space left on device"
    assert process.stderr == f"staticmask: error: {reason}\n"


@FULL
@pytest.mark.parametrize(("status", "argument"), [(2, "--no-such-option"), (1, "missing.fits")])
def test_a_full_standard_error_does_not_change_the_exit_status(
    status: int, argument: str, tmp_path: Path
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        assert ended("", argument, folder=tmp_path, stderr=full).returncode == status


@pytest.mark.parametrize("closed", ["1", "2", "1 2"])
@pytest.mark.parametrize("arguments", [["--version"], ["-q", REAL]])
def test_closed_streams_are_no_error(
    closed: str, arguments: list[str | Path], tmp_path: Path
) -> None:
    before = f"import os, sys\nfor stream in map(int, {closed!r}.split()): os.close(stream)\n"
    launch = f"{before}os.execv(sys.executable, [sys.executable, '-c', {MAIN!r}, *sys.argv[1:]])"
    process = subprocess.run(
        [sys.executable, "-c", launch, *map(str, arguments)],
        cwd=tmp_path,
        env=without_settings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_the_command_as_a_function_does_not_end_the_process() -> None:
    code = (
        "from click.testing import CliRunner\nfrom staticmask_cli.cli.main import main\n"
        "print(CliRunner().invoke(main, ['--version']).exit_code)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout == "0\n"


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_openblas_has_one_thread_unless_the_user_wants_more(given: str | None, used: str) -> None:
    before = (
        "import atexit, os\nos.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        + (f"os.environ['OPENBLAS_NUM_THREADS'] = {given!r}\n" if given else "")
        + "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS']))\n"
    )
    assert ended(before, "--version").stdout.splitlines()[-1] == used


def test_garbage_is_collected_after_the_imports_and_not_before(tmp_path: Path) -> None:
    before = (
        "import atexit, gc, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('numpy', 'astropy.io.fits'): print(name, gc.isenabled())\n"
        "sys.meta_path.insert(0, Finder())\n"
        "atexit.register(lambda: print('end', gc.isenabled()))\n"
    )
    process = ended(before, "-q", REAL, folder=tmp_path)
    lines = process.stdout.splitlines()
    assert lines == ["numpy False", "astropy.io.fits False", "end True"]
