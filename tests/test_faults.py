"""Faults that are really caused: a full disk, killed runs, files that go away, two at once."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from astropy.io import fits
from makers import exposure, sky
from runs import small, tree

from staticmask_cli import InputError, OutputError, StaticMaskError, create_masks
from staticmask_cli.locks import LOCK_NAME, locked

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
    """Return a mask's bytes after its checksums were found right."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            assert len(hdus) == 2
    return path.read_bytes()


# Killed.


def test_a_run_killed_at_any_moment_leaves_the_old_mask_or_the_new_one(tmp_path: Path) -> None:
    for n in range(2):
        exposure(tmp_path / f"e{n}_flt.fits", [sky(n, (1024, 1024))], errors=False)
    masks = []
    for n in range(2):
        create_masks(tmp_path / f"e{n}_flt.fits", output_dir=tmp_path / "m")
        masks.append((tmp_path / "m" / LARGE).read_bytes())
    # Between the two masks in turn, until it is killed.
    code = (
        "from staticmask_cli import create_masks\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for n in (0, 1):\n"
        "        create_masks(f'e{n}_flt.fits', output_dir='m')\n"
    )
    rng = random.Random(5)
    littered = 0
    for _ in range(50):
        process = python(code, tmp_path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
        assert whole(tmp_path / "m" / LARGE) in masks
        littered += len(listed(tmp_path / "m")) > 1
    assert littered, "none was killed where it mattered"
    create_masks(tmp_path / "e0_flt.fits", output_dir=tmp_path / "m", lock_timeout=0)
    assert listed(tmp_path / "m") == [LARGE]


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
        pytest.raises(StaticMaskError, match=r"a_flt\.fits: a worker was killed"),
    ):
        create_masks(path, output_dir=tmp_path / "m", executor=pool, keep_going=True)
    assert not (tmp_path / "m").exists()


# Full, gone, forbidden.

COMMAND = "from staticmask_cli.cli import main\nmain()\n"


def little_room() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_full_disk_costs_no_old_mask_and_leaves_no_litter(tmp_path: Path) -> None:
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
def test_a_full_file_system_costs_no_old_mask(tmp_path: Path) -> None:
    exposure(tmp_path / "a_flt.fits", [sky(1, (1024, 1024))], errors=False)
    folder = tmp_path / "m"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        create_masks(tmp_path / "a_flt.fits", output_dir=folder)
        before = tree(folder)
        # The new mask has no room beside the old one.
        with pytest.raises(OutputError, match=f"{LARGE}: cannot be written: No space left"):
            create_masks(tmp_path / "a_flt.fits", output_dir=folder, static_sig=3)
        assert tree(folder) == before
        whole(folder / LARGE)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_summary_or_result_on_a_full_disk_costs_no_mask(tmp_path: Path) -> None:
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


def test_an_output_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
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


# Root without its capabilities may do what the modes of files say, no more.
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
        left_out = what == "exposure" and options
        assert status == (3 if left_out else 1)
        assert len(said.splitlines()) == 1
        name = "m" if what == "folder" else "b_flt.fits"
        assert said.startswith(f"staticmask: error: {name}: ")
        assert "permission" in said
        assert listed(folder) == ([NAME] if left_out else [])
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
def test_an_input_that_goes_or_changes_between_listing_and_reading(
    harm: object, keep_going: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", seed) for seed, n in enumerate("abc")]
    from staticmask_cli import gathering  # noqa: PLC0415

    original = gathering.open_exposure

    def opened(path: Path, settings: object) -> object:
        found = original(path, settings)
        if path == paths[1]:
            harm(path)  # its headers are read, its pixels are not
        return found

    monkeypatch.setattr(gathering, "open_exposure", opened)
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


def test_a_lock_is_waited_for_and_then_taken(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    folder = tmp_path / "m"
    folder.mkdir()
    with locked(folder, 0):
        with pytest.raises(OutputError, match=rf"m: another run \(process {os.getpid()}\) has"):
            create_masks(tmp_path / "a_flt.fits", output_dir=folder, lock_timeout=0.1)
        waiting = threading.Thread(
            target=create_masks, args=(tmp_path / "a_flt.fits",), kwargs={"output_dir": folder}
        )
        waiting.start()
        time.sleep(0.2)
        assert listed(folder / LOCK_NAME)
        assert not (folder / NAME).exists()
    waiting.join()
    assert listed(folder) == [NAME]


def left_behind(folder: Path, owner: str) -> None:
    (folder / LOCK_NAME).mkdir()
    (folder / LOCK_NAME / owner).touch()


def test_locks_of_dead_processes_are_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.run(
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    machine, pid, start, _ = new_token().split("-")
    another_life = f"{machine}-{pid}-{int(start or 1) + 1}-00000000"
    elsewhere = f"{'0' * 8}-{pid}-{start}-00000000"
    assert [is_gone(token) for token in (ended, another_life, elsewhere, new_token())] == [
        *(True, bool(start), None, False)
    ]
    for token in (ended, another_life) if start else (ended,):
        left_behind(tmp_path, token)
        with locked(tmp_path, 0):
            pass
        assert listed(tmp_path) == []
    left_behind(tmp_path, elsewhere)
    with pytest.raises(OutputError, match="on another machine"), locked(tmp_path, 0.1):
        pass
    # Nothing is heard of it for long.
    monkeypatch.setattr("staticmask_cli.locks._SILENCE", 0.1)
    with locked(tmp_path, 10):
        pass
    assert listed(tmp_path) == []


def test_an_owner_that_lives_elsewhere_keeps_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen from another machine a process cannot be asked for: its heartbeat is all there is.
    monkeypatch.setattr("staticmask_cli.locks._HEARTBEAT", 0.05)
    monkeypatch.setattr("staticmask_cli.locks._SILENCE", 1.0)
    monkeypatch.setattr("staticmask_cli.locks.is_gone", lambda _: None)
    with (
        locked(tmp_path, 0),
        pytest.raises(OutputError, match=r"has held \.staticmask\.lock for 2 s"),
        locked(tmp_path, 2),
    ):
        pass


def test_a_run_that_lost_its_lock_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from staticmask_cli import committing  # noqa: PLC0415

    original = committing.write_masks

    def robbed(*arguments: object) -> None:
        (owner,) = (tmp_path / "m" / LOCK_NAME).iterdir()
        owner.unlink()
        original(*arguments)

    monkeypatch.setattr(committing, "write_masks", robbed)
    with pytest.raises(OutputError, match="took over the lock"):
        create_masks(small(tmp_path / "a_flt.fits"), output_dir=tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("what", ["file", "garbage"])
def test_something_else_under_the_locks_name_is_told_and_left(what: str, tmp_path: Path) -> None:
    if what == "file":
        (tmp_path / LOCK_NAME).write_text("mine")
    else:
        left_behind(tmp_path, "not a token")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"cannot be locked|something else than a run"):  # noqa: SIM117
        with locked(tmp_path, 0.1):
            pass
    assert {k: v[0] for k, v in tree(tmp_path).items()} == {k: v[0] for k, v in before.items()}


def test_no_count_is_lost_among_processes_that_die_with_the_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom staticmask_cli.locks import locked\n"
        "folder = Path('.')\ncounter = folder / 'counter'\n"
        "for n in range(25):\n"
        "    if os.fork() == 0:\n"  # one that dies with the lock in its hands
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


def test_litter_is_cleared_if_its_maker_is_dead_and_nothing_else(tmp_path: Path) -> None:
    machine, pid, start, _ = new_token().split("-")
    dead = f"{machine}-{2**22 + 1}-1-00000000"
    foreign, old = (f"{'0' * 8}-{pid}-{start}-0000000{n}" for n in (1, 2))
    kept = [
        f".{NAME}.{new_token()}.part",
        f".{NAME}.{foreign}.part",
        f".{NAME}.notatoken.part",
        f".other.fits.{dead}.part",
        f"{NAME}.{dead}.part",
        NAME,
    ]
    gone = [f".{NAME}.{dead}.part", f".{NAME}.{old}.part"]
    for name in [*kept, *gone]:
        (tmp_path / name).touch()
    os.utime(tmp_path / gone[1], (0, 0))
    clear_litter(tmp_path, "*_staticMask.fits")
    assert sorted(listed(tmp_path)) == sorted(kept)
