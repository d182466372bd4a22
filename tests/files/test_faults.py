"""Real faults: full disks, killed runs, files that disappear, concurrent runs."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from astropy.io import fits
from click.testing import CliRunner

from staticmask_cli import InputError, OutputError, StaticMaskError, create_masks
from staticmask_cli.cli.main import main
from staticmask_cli.files.atomic import Sink, created_folder, staged
from staticmask_cli.files.locks import LOCK_NAME, locked
from staticmask_cli.files.signals import signals_deferred
from tests.support.makers import exposure, instrument_exposure, sky
from tests.support.runs import small, tree

NAME = "ACSHRC_16x20_1_staticMask.fits"
LARGE = "ACSHRC_1024x1024_1_staticMask.fits"


def python(code: str, folder: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def whole(path: Path) -> bytes:
    """Return the bytes of a mask whose checksums are valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            assert len(hdus) == 2
    return path.read_bytes()


# Killed runs.


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "call",
    [
        "create_masks(f'e{n}_flt.fits', output_dir='m')",
        "combine(f'm{n}', output_dir='m', overwrite=True)",
    ],
)
def test_a_run_killed_at_any_time_leaves_the_old_mask_or_the_new_one(
    call: str, kills: int, tmp_path: Path
) -> None:
    for n in range(2):
        exposure(tmp_path / f"e{n}_flt.fits", [sky(n, (1024, 1024))], errors=False)
    masks = []
    for n in range(2):
        create_masks(tmp_path / f"e{n}_flt.fits", output_dir=tmp_path / f"m{n}")
        masks.append((tmp_path / f"m{n}" / LARGE).read_bytes())
    shutil.copytree(tmp_path / "m1", tmp_path / "m")
    # Writes the two masks in turn, until it is killed.
    code = (
        "from staticmask_cli import combine, create_masks\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for n in (0, 1):\n"
        f"        {call}\n"
    )
    rng = random.Random(5)
    n_with_parts = 0
    for number in range(50):
        if number >= kills and n_with_parts:
            break
        process = python(code, tmp_path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
        assert whole(tmp_path / "m" / LARGE) in masks
        n_with_parts += len(listed(tmp_path / "m")) > 1
    assert n_with_parts, "no run was killed while writing"
    create_masks(tmp_path / "e0_flt.fits", output_dir=tmp_path / "m", lock_timeout=0)
    assert listed(tmp_path / "m") == [LARGE]


def test_an_update_killed_at_any_time_is_completed_by_the_next(tmp_path: Path) -> None:
    names = [small(tmp_path / f"e{n:02d}_flt.fits", n).name for n in range(30)]
    # Adds one exposure after the other, until it is killed.
    code = (
        "import sys\nfrom staticmask_cli import create_masks\n"
        "print('ready', flush=True)\n"
        "for name in sys.argv[1:]:\n    create_masks(name, output_dir='m', update=True)\n"
    )
    rng = random.Random(5)
    for _ in range(3):
        process = python(code, tmp_path, *names)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.1, 0.3))
        process.kill()
        process.communicate()
    create_masks([tmp_path / name for name in names], output_dir=tmp_path / "m", update=True)
    create_masks([tmp_path / name for name in names], output_dir=tmp_path / "one")
    assert whole(tmp_path / "m" / NAME) == whole(tmp_path / "one" / NAME)
    assert listed(tmp_path / "m") == [NAME]


@pytest.mark.slow
def test_two_runs_that_update_one_mask_lose_nothing(tmp_path: Path) -> None:
    names = [small(tmp_path / f"e{n:02d}_flt.fits", n).name for n in range(50)]
    code = (
        "import sys\nfrom staticmask_cli import create_masks\n"
        "for name in sys.argv[1:]:\n    create_masks(name, output_dir='m', update=True)\n"
    )
    runs = [python(code, tmp_path, *names[n::2]) for n in range(2)]
    assert [finished(run) for run in runs] == [(0, ""), (0, "")]
    create_masks([tmp_path / name for name in names], output_dir=tmp_path / "one")
    assert whole(tmp_path / "m" / NAME) == whole(tmp_path / "one" / NAME)
    assert list(fits.getdata(tmp_path / "m" / NAME, 1)["FILE"]) == names
    assert listed(tmp_path / "m") == [NAME]


def _end_at_once(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = small(tmp_path / "a_flt.fits")
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_at_once) as pool,
        pytest.raises(StaticMaskError, match=r"a_flt\.fits: its worker process was killed"),
    ):
        create_masks(path, output_dir=tmp_path / "m", executor=pool, keep_going=True)
    assert not (tmp_path / "m").exists()


# Full disks, missing files, permissions.

COMMAND = "from staticmask_cli.cli.main import main\nmain()\n"


def little_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_full_disk_keeps_the_old_masks_and_leaves_no_temporary_files(tmp_path: Path) -> None:
    exposure(tmp_path / "a_flt.fits", [sky(1, (1024, 1024))], errors=False)
    small(tmp_path / "b_flt.fits", 2)
    create_masks([tmp_path / "a_flt.fits", tmp_path / "b_flt.fits"], output_dir=tmp_path / "m")
    before = tree(tmp_path / "m")
    status, said = finished(
        python(COMMAND, tmp_path, "*flt.fits", "-o", "m", preexec_fn=little_room)
    )
    assert (status, said) == (
        1,
        f"staticmask: error: m/{LARGE}: cannot be written: File too large\n",
    )
    after = tree(tmp_path / "m")
    assert after == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_file_system_keeps_the_old_mask(tmp_path: Path) -> None:
    exposure(tmp_path / "a_flt.fits", [sky(1, (1024, 1024))], errors=False)
    folder = tmp_path / "m"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        create_masks(tmp_path / "a_flt.fits", output_dir=folder)
        before = tree(folder)
        # There is no space for the new mask while the old one exists.
        with pytest.raises(OutputError, match=f"{LARGE}: cannot be written: No space left"):
            create_masks(tmp_path / "a_flt.fits", output_dir=folder, static_sig=3)
        assert tree(folder) == before
        whole(folder / LARGE)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_summary_or_result_on_a_full_disk_does_not_prevent_the_mask(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", COMMAND, "-o", "m", "--summary", "-"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert "standard output cannot be written: No space left" in run.stderr
    assert "Traceback" not in run.stderr
    whole(tmp_path / "m" / NAME)


@pytest.mark.parametrize("failing", ["mkdir", "write"])
def test_a_full_disk_leaves_no_empty_folders(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.mkdir

    def mkdir(path: str, *arguments: object) -> None:
        if failing == "mkdir" and Path(path).name == "night":
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, *arguments)

    def write_bytes() -> None:
        with created_folder(tmp_path / "new" / "sub" / "night"):
            raise OutputError("No space left on device")

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(OutputError, match="No space left on device"):
        write_bytes()
    assert listed(tmp_path) == []


def test_an_output_folder_that_disappears_is_created_again(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("ab")]
    folder = tmp_path / "m"
    folder.mkdir()
    create_masks(paths, output_dir=folder, progress=lambda *_: folder.exists() and folder.rmdir())
    whole(folder / NAME)


def test_an_output_folder_that_becomes_a_file_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    with pytest.raises(OutputError, match="m: cannot be written: File exists"):
        create_masks(
            small(tmp_path / "a_flt.fits"),
            output_dir=folder,
            progress=lambda *_: folder.write_text(""),
        )


# Without capabilities, root is subject to file permissions.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.mark.skipif(bool(POWERLESS) and not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.parametrize("what", ["folder", "exposure"])
def test_permission_denied_is_one_clear_line(what: str, tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    small(tmp_path / "b_flt.fits", 2)
    folder = tmp_path / "m"
    folder.mkdir()
    (folder if what == "folder" else tmp_path / "b_flt.fits").chmod(0o500 * (what == "folder"))

    def run(*options: str) -> tuple[int, str]:
        command = [*POWERLESS, sys.executable, "-m", "staticmask_cli", "*flt.fits", "-o", "m"]
        done = subprocess.run(
            [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    for options in [(), ("-k",)]:
        status, said = run(*options)
        is_skipped = what == "exposure" and options
        assert status == (3 if is_skipped else 1)
        assert len(said.splitlines()) == 1
        name = "m" if what == "folder" else "b_flt.fits"
        assert said.startswith(f"staticmask: error: {name}: ")
        assert "permission" in said
        assert listed(folder) == ([NAME] if is_skipped else [])
    folder.chmod(0o700)


def vanish(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    os.truncate(path, 3000)


def change(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("harm", [vanish, shrink, change])
@pytest.mark.parametrize("keep_going", [False, True])
def test_an_input_that_disappears_or_changes_after_scanning(
    harm: object, keep_going: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abc")]
    from staticmask_cli.masking import worker  # noqa: PLC0415

    original = worker.open_and_read

    def opened(path: Path, *args: object, **more: object) -> object:
        found = original(path, *args, **more)
        if path == paths[1]:
            harm(path)  # after its headers were read, but not its pixels
        return found

    monkeypatch.setattr(worker, "open_and_read", opened)
    options = {"output_dir": tmp_path / "m", "keep_going": keep_going}
    if not keep_going:
        with pytest.raises(InputError, match=r"b_flt\.fits: (changed while|cannot be read)"):
            create_masks(paths, **options)
        assert not (tmp_path / "m").exists()
        return
    report = create_masks(paths, **options)
    assert [e.state for e in report.exposures] == ["read", "failed", "read"]
    rows = fits.getdata(tmp_path / "m" / NAME, 1)
    assert [row["USED"] for row in rows] == [True, False, True]


# The lock.


# Locks a folder until it reads a line or is killed.
HOLD = (
    "import sys\nfrom pathlib import Path\nfrom staticmask_cli.files.locks import locked\n"
    "with locked(Path('m'), 10):\n    print('locked', flush=True)\n    sys.stdin.readline()\n"
)


def holding(folder: Path, code: str = HOLD, **options: object) -> subprocess.Popen[str]:
    """Start a process that prints a line when it has locked `folder`/m."""
    process = python(code, folder, stdin=subprocess.PIPE, **options)
    assert process.stdout.readline() == "locked\n"
    return process


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    folder = tmp_path / "m"
    folder.mkdir()
    with locked(folder, 0):
        with pytest.raises(OutputError, match="m: locked by another thread of this process; gave"):
            create_masks(tmp_path / "a_flt.fits", output_dir=folder, lock_timeout=0.1)
        waiting = threading.Thread(
            target=create_masks, args=(tmp_path / "a_flt.fits",), kwargs={"output_dir": folder}
        )
        waiting.start()
        time.sleep(0.2)
        assert listed(folder) == [LOCK_NAME]
    waiting.join()
    assert listed(folder) == [NAME]


def test_concurrent_threads_lose_no_count(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(10):
            with locked(tmp_path, 60):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "40"
    assert listed(tmp_path) == ["counter"]


def test_a_suspended_run_keeps_its_lock_and_nothing_is_lost(tmp_path: Path) -> None:
    names = [small(tmp_path / f"{n}_flt.fits", seed).name for seed, n in enumerate("abc")]
    (tmp_path / "m").mkdir()
    # Suspended at the worst moment: just before it renames its masks.
    code = (
        "import os, signal\nfrom staticmask_cli import create_masks\n"
        "from staticmask_cli.masking import write\n"
        "original = write.put_in_place\n"
        "def stopped(*arguments):\n"
        "    print('locked', flush=True)\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return original(*arguments)\n"
        "write.put_in_place = stopped\n"
        "create_masks('a_flt.fits', output_dir='m', update=True)\n"
    )
    with holding(tmp_path, code) as holder:
        began = time.monotonic()
        said = (
            rf"m: locked by another run \(process {holder.pid} of .+ on .+\); gave up after 0.5 s"
        )
        with pytest.raises(OutputError, match=said):
            create_masks(
                tmp_path / "b_flt.fits", output_dir=tmp_path / "m", update=True, lock_timeout=0.5
            )
        assert 0.5 <= time.monotonic() - began < 5
        assert NAME not in listed(tmp_path / "m")
        waiting = python(
            "from staticmask_cli import create_masks\n"
            "create_masks('c_flt.fits', output_dir='m', update=True)\n",
            tmp_path,
        )
        time.sleep(0.5)
        holder.send_signal(signal.SIGCONT)
        assert finished(holder) == (0, "")
        assert finished(waiting) == (0, "")
    create_masks(tmp_path / "b_flt.fits", output_dir=tmp_path / "m", update=True)
    create_masks([tmp_path / name for name in names], output_dir=tmp_path / "one")
    assert whole(tmp_path / "m" / NAME) == whole(tmp_path / "one" / NAME)
    assert listed(tmp_path / "m") == [NAME]


def test_the_lock_of_a_killed_run_is_released_at_once(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with holding(tmp_path) as holder:
        holder.kill()
        holder.wait()
        assert listed(tmp_path / "m") == [LOCK_NAME]
        with locked(tmp_path / "m", 0):
            pass
    assert listed(tmp_path / "m") == []


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_the_lock_excludes_a_machine_with_another_name(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True, check=False).returncode:
        pytest.skip("other namespaces are not allowed here")
    code = "import socket\nsocket.sethostname('elsewhere')\n" + HOLD
    command = ["unshare", "--uts", sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(OutputError, match="on elsewhere"), locked(tmp_path / "m", 0.1):
            pass
        holder.communicate("\n")
    with locked(tmp_path / "m", 0):
        pass


@pytest.fixture
def group_folder() -> Iterator[Path]:
    """Return a folder with a subfolder m that group 20000 may write to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "m").mkdir()
    os.chown(folder / "m", -1, 20000)
    yield folder
    shutil.rmtree(folder)


AS_USER = (
    "import os, sys, time\nfrom pathlib import Path\nfrom staticmask_cli import OutputError\n"
    "from staticmask_cli.files.locks import locked\n"
    "user, mask = map(int, sys.argv[1:])\n"
    "os.setgroups([20000])\nos.setgid(user)\nos.setuid(user)\nos.umask(mask)\n"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@pytest.mark.parametrize("mask", [0o022, 0o077])
@pytest.mark.parametrize("mode", [0o770, 0o2770])
def test_whoever_may_write_to_the_folder_may_lock_it(
    mask: int, mode: int, group_folder: Path
) -> None:
    (group_folder / "m").chmod(mode)
    path = group_folder / "m" / LOCK_NAME
    code = AS_USER + HOLD
    waiting = AS_USER + "with locked(Path('m'), 0):\n    pass\n"
    first = python(code, group_folder, "10001", str(mask), stdin=subprocess.PIPE)
    with first:
        assert first.stdout.readline() == "locked\n"
        found = path.stat()
        assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o660, 10001, 20000)
        status, said = finished(python(waiting, group_folder, "10002", str(mask)))
        assert f"m: locked by another run (process {first.pid} of user 10001 on " in said
        assert status == 1
        first.kill()
        first.wait()
    assert finished(python(waiting, group_folder, "10002", str(mask))) == (0, "")
    assert listed(group_folder / "m") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_a_lock_that_cannot_be_opened_is_an_error_at_once(group_folder: Path) -> None:
    (group_folder / "m").chmod(0o770)
    (group_folder / "m" / LOCK_NAME).touch(0o600)
    code = AS_USER + (
        "began = time.monotonic()\n"
        "try:\n    with locked(Path('m'), 60):\n        pass\n"
        "except OutputError as error:\n    print(error, file=sys.stderr)\n"
        "assert time.monotonic() - began < 5\nassert time.process_time() < 5\n"
    )
    status, said = finished(python(code, group_folder, "10002", "18"))
    reason = "cannot be locked: Permission denied; delete it if no run is writing there"
    assert (status, said) == (0, f"m/{LOCK_NAME}: {reason}\n")


def test_a_signal_always_releases_the_lock(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    code = (
        "import signal, sys, warnings\nfrom pathlib import Path\n"
        "from staticmask_cli.files.locks import locked\n"
        "warnings.simplefilter('ignore')\n"  # about files closed by the garbage collector
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "folder = Path('m')\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        print('off', flush=True)\n"
        "        while True:\n            with locked(folder, 0):\n                pass\n"
        "    except KeyboardInterrupt:\n        pass\n"
        "    with locked(folder, 0):\n        pass\n"
        "    print('free', flush=True)\n"
    )
    rng = random.Random(3)
    process = python(code, tmp_path, stdin=subprocess.PIPE)
    for _ in range(60):
        process.stdin.write("on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "off\n"
        time.sleep(rng.uniform(0, 0.01))
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "free\n", process.communicate()
    assert finished(process) == (0, "")
    assert listed(tmp_path / "m") == []


def test_a_forked_child_waits_for_threads_of_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, threading, time\nfrom pathlib import Path\n"
        "from staticmask_cli.files.locks import locked\n"
        "ready, go = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with locked(Path('m'), 0):\n        ready.set()\n        go.wait()\n"
        "thread = threading.Thread(target=hold)\nthread.start()\nready.wait()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    with locked(Path('m'), 60):\n        os._exit(0)\n"
        "time.sleep(0.3)\nassert os.waitpid(child, os.WNOHANG) == (0, 0)\n"
        "go.set()\nthread.join()\nassert os.waitpid(child, 0)[1] == 0\n"
    )
    (tmp_path / "m").mkdir()
    # Python 3.12 warns about forks in multi-threaded processes.
    quiet = "import warnings\nwarnings.simplefilter('ignore')\n"
    assert finished(python(quiet + code, tmp_path)) == (0, "")


def test_a_run_without_locks_warns_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", none)
    create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path / "m")
    whole(tmp_path / "m" / NAME)
    assert f"{tmp_path / 'm'}: this file system does not support locks" in caplog.text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("mine"), "exists but is not a lock file; move it away"),
        (lambda path: path.mkdir(), "cannot be locked: Is a directory; delete it if no"),
        (lambda path: path.symlink_to("other"), "cannot be locked: Too many levels"),
    ],
    ids=["file", "folder", "link"],
)
def test_another_file_with_the_name_of_the_lock_is_an_error_and_kept(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("mine")
    make(tmp_path / LOCK_NAME)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=said), locked(tmp_path, 60):
        pass
    assert tree(tmp_path) == before


def test_processes_killed_with_the_lock_lose_no_count(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom staticmask_cli.files.locks import locked\n"
        "folder = Path('.')\ncounter = folder / 'counter'\n"
        "for n in range(25):\n"
        "    if os.fork() == 0:\n"  # killed while it has the lock
        "        with locked(folder, 60):\n            os.kill(os.getpid(), 9)\n"
        "    os.wait()\n"
        "    with locked(folder, 60):\n"
        "        counter.write_text(str(int(counter.read_text()) + 1))\n"
    )
    (tmp_path / "counter").write_text("0")
    runs = [python(code, tmp_path) for _ in range(4)]
    assert [finished(run) for run in runs] == [(0, "")] * 4
    assert (tmp_path / "counter").read_text() == "100"
    assert listed(tmp_path) == ["counter"]


def test_locking_removes_parts_of_masks_and_nothing_else(
    tmp_path: Path,
) -> None:
    kept = [f".{NAME}.part", f"{NAME}.01234567.part", ".night.json.01234567.part", NAME]
    for name in [*kept, f".{NAME}.01234567.part"]:
        (tmp_path / name).touch()
    with locked(tmp_path, 0):
        assert listed(tmp_path) == sorted([*kept, LOCK_NAME])
    assert listed(tmp_path) == sorted(kept)


# Changes despite the lock.

WFC = [f"ACSWFC_16x20_{n}_staticMask.fits" for n in (1, 2)]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_mask_that_another_run_changed_is_not_overwritten(
    is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staticmask_cli.masking import write  # noqa: PLC0415

    a, b, c = (small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abc"))
    folder = tmp_path / "m"
    if not is_new:
        create_masks(a, output_dir=folder, update=True)
        shutil.copytree(folder, tmp_path / "other")
    create_masks(b, output_dir=tmp_path / "other", update=True)
    others = (tmp_path / "other" / NAME).read_bytes()
    original = write.put_in_place

    def overtaken(*arguments: object) -> object:
        shutil.copy(tmp_path / "other" / NAME, folder / "x")
        (folder / "x").replace(folder / NAME)  # as a run without lock does
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(write, "put_in_place", overtaken)
        with pytest.raises(OutputError, match=f"{NAME}: changed since it was read.*; run again$"):
            create_masks(c, output_dir=folder, update=True)
    assert (folder / NAME).read_bytes() == others
    assert listed(folder) == [NAME]
    create_masks(c, output_dir=folder, update=True)
    create_masks([b, c] if is_new else [a, b, c], output_dir=tmp_path / "one")
    assert whole(folder / NAME) == whole(tmp_path / "one" / NAME)


@pytest.mark.parametrize("what", ["fails", "changes"])
@pytest.mark.parametrize("recounted", [False, True])
def test_if_one_mask_cannot_be_renamed_the_state_of_all_is_reported(
    what: str, recounted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    instrument_exposure(tmp_path, "acs_wfc", 1, (16, 20))
    create_masks("*flt.fits", output_dir="m", counts=True)
    before = {name: (tmp_path / "m" / name).read_bytes() for name in WFC}
    original = Path.replace

    def replaced(part: Path, path: Path) -> Path:
        if what == "fails" and path.name == WFC[1]:
            raise OSError(errno.EIO, "Input/output error")
        if what == "changes" and path.name == WFC[0]:
            os.utime(path.with_name(WFC[1]), (1, 1))
        return original(part, path)

    monkeypatch.setattr(Path, "replace", replaced)
    options = ["recount", "m", "-m", "2"] if recounted else ["--static-sig", "2", "-o", "m"]
    result = CliRunner().invoke(main, [*options, "-q", "--summary", "s.json"])
    why = "cannot be written: Input/output error" if what == "fails" else "changed since it was"
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert f"m/{WFC[1]}: {why}" in first
    assert second == f"staticmask: error: replaced: {WFC[0]}; unchanged: {WFC[1]}; run again"
    now = {name: (tmp_path / "m" / name).read_bytes() for name in WFC}
    assert [now[name] == before[name] for name in WFC] == [False, True]
    document = json.loads((tmp_path / "s.json").read_text())
    assert [(Path(m["path"]).name, m["state"]) for m in document["masks"]] == [(WFC[0], "written")]
    assert sorted(listed(tmp_path / "m")) == WFC


# Signals.


def test_callers_keep_their_signal_handlers(tmp_path: Path) -> None:
    def mine(*_: object) -> None:
        seen.append(1)

    seen: list[int] = []
    old = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in old:
            signal.signal(number, mine)
        create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path / "m")
        assert {signal.getsignal(number) for number in old} == {mine}
        with signals_deferred():
            signal.raise_signal(signal.SIGTERM)
            assert not seen
        assert seen == [1]
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    # Other threads receive no signals and may not install handlers.
    thread = threading.Thread(
        target=create_masks, args=(tmp_path / "a_flt.fits",), kwargs={"output_dir": tmp_path / "m"}
    )
    thread.start()
    thread.join()


# Runs the command with a signal sent when a function is called, and another after it.
SIGNALLED = (
    "import importlib, os, signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from staticmask_cli.__main__ import main\n"
    "module, _, name = sys.argv.pop(1).rpartition('.')\n"
    "holder = importlib.import_module(module)\n"
    "original = getattr(holder, name)\n"
    "def signalled(*arguments, **options):\n"
    "    os.kill(os.getpid(), signal.SIGTERM)\n"
    "    try:\n        return original(*arguments, **options)\n"
    "    finally:\n        os.kill(os.getpid(), signal.SIGINT)\n"
    "setattr(holder, name, signalled)\n"
    "main()\n"
)


@pytest.mark.parametrize(
    ("where", "done"),
    [
        ("staticmask_cli.cli.run.start_logging", ""),
        ("staticmask_cli.masking.make._make_once", ""),
        ("staticmask_cli.masking.make.write_masks", ""),
        (
            "staticmask_cli.masking.write.put_in_place",
            "not finished: standard output, --report",
        ),
        ("staticmask_cli.reports.showing.draw", "not finished: standard output, --report"),
        ("staticmask_cli.cli.run.echo", "not finished: standard output"),
        ("staticmask_cli.files.side_files.part_of", "not finished: --summary"),
    ],
)
def test_a_signal_ends_the_command_with_one_line_on_what_is_done(
    where: str, done: str, tmp_path: Path
) -> None:
    instrument_exposure(tmp_path, "acs_wfc", 1, (16, 20))
    options = ["-o", "m", "--summary", "s.json"]
    options += ["--report", "r.html"] * ("--summary" not in done)
    run = python(SIGNALLED, tmp_path, where, *options)
    status, said = finished(run)
    assert status == 130
    places = ", ".join(f"m/{name}" for name in WFC)
    line = f"; these masks are in place: {places}; {done}" if done else ""
    assert said == f"staticmask: error: interrupted{line}\n"
    assert (listed(tmp_path / "m") if done else [*tmp_path.glob("m/*")]) == (WFC if done else [])
    assert (tmp_path / "s.json").exists() == ("--summary" not in done)
    if "--summary" not in done:
        document = json.loads((tmp_path / "s.json").read_text())
        assert document["errors"] == [f"interrupted{line}"]
        assert [mask["state"] for mask in document["masks"]] == ["written"] * (2 if done else 0)


@pytest.mark.parametrize("signals", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_a_signal_at_any_time_ends_the_command_with_one_line_or_is_too_late(
    signals: int,
    tmp_path: Path,
) -> None:
    small(tmp_path / "a_flt.fits")
    rng = random.Random(7)
    code = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from staticmask_cli.files.signals import install_handlers\n"
        "install_handlers()\nprint('ready', flush=True)\n"
        "from staticmask_cli.__main__ import main\nmain()\n"
    )
    for number in [signal.SIGINT, signal.SIGTERM] * (signals // 2):
        process = python(code, tmp_path, "-q", "-o", "m", "--summary", "s.json")
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.choice([rng.uniform(0, 0.1), rng.uniform(0, 0.6)]))
        process.send_signal(number)
        process.send_signal(signal.SIGINT)
        status, said = finished(process)
        assert (status, said.count("\n")) in [(0, 0), (130, 1)], said
        assert said == "" or said.startswith("staticmask: error: interrupted")
        assert not [name for name in listed(tmp_path) if name.startswith(".")]


def test_masks_are_written_in_parallel(tmp_path: Path) -> None:
    all_at_once = threading.Barrier(4, timeout=20)

    def write(file: Sink) -> None:
        all_at_once.wait()
        file.write(b"mask")

    files = dict.fromkeys((tmp_path / f"{n}.fits" for n in range(8)), write)
    with staged(files, 4) as parts:
        assert [part.read_bytes() for part in parts.values()] == [b"mask"] * 8
