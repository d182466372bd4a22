"""Engines: executors of several libraries, what they are given, and their failures."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from staticmask_cli import ConfigError, StaticMaskError, create_masks, explain, sweep
from staticmask_cli.config.merging import ARGUMENT, merge
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.masking import engines
from staticmask_cli.masking.engines import Engine
from staticmask_cli.masking.exposure_loop import ExposureLoop
from staticmask_cli.masking.measure import Measured
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.statistics.votes import pack
from tests.support.makers import exposure, sky
from tests.support.runs import Run, small
from tests.support.samples import contents

#: Without it, dask gives up a task whose workers were killed three times.
PATIENT = {"distributed.scheduler.allowed-failures": 1000}


@contextmanager
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


@contextmanager
def loky() -> Iterator[Executor]:
    executor = pytest.importorskip("loky").ProcessPoolExecutor(2)
    try:
        yield executor
    finally:
        executor.shutdown(kill_workers=True)


@contextmanager
def dask() -> Iterator[Executor]:
    with cluster() as at, at.get_client() as client:
        yield client.get_executor()


@contextmanager
def cluster(n_workers: int = 2) -> Iterator[Any]:
    """Start a scheduler and workers, processes of this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as at:
        yield at


@pytest.mark.parametrize("engine", [threads, processes, loky, dask])
def test_masks_do_not_depend_on_the_engine(engine: Callable, tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(5)]
    (tmp_path / "m").mkdir()
    create_masks(paths[:2], output_dir=tmp_path / "m")
    before = contents(tmp_path / "m")
    with engine() as executor:
        for n_given in (2, 5):  # new masks, then an update
            create_masks(
                paths[:n_given], output_dir=tmp_path / "e", executor=executor, update=n_given > 2
            )
            if n_given == 2:
                assert contents(tmp_path / "e") == before
        rows = sweep(paths, [3.0, 4.0], executor=executor)
        pixels = explain(paths, x=3, y=4, executor=executor)
        # The same names, and other pixels: no earlier result is returned again.
        small(paths[0], 90)
        create_masks(paths, output_dir=tmp_path / "n", executor=executor)
    create_masks(paths, output_dir=tmp_path / "o")
    assert contents(tmp_path / "n") == contents(tmp_path / "o")
    small(paths[0], 0)
    create_masks(paths, output_dir=tmp_path / "m", update=True)
    assert contents(tmp_path / "e") == contents(tmp_path / "m")
    assert rows == sweep(paths, [3.0, 4.0])
    assert str(pixels) == str(explain(paths, x=3, y=4))


def test_the_number_of_workers_is_that_of_the_engine() -> None:
    class Mpi(Executor):
        num_workers = 7

    class Dask(Executor):
        class Client:
            n = 3

            def nthreads(self) -> dict[str, int]:
                return {f"tcp://{n}": 2 for n in range(self.n)}

        _client = Client()

    with ThreadPoolExecutor(5) as executor:
        assert Engine(executor).n_workers == 5
        assert Engine(executor).n_busy > 5
    assert Engine(Mpi()).n_workers == 7
    dask_like = Engine(Dask())
    assert dask_like.n_workers == 6
    Dask.Client.n = 40  # it has grown: seen after a while
    dask_like._asked -= 60
    assert dask_like.n_workers == 80
    assert Engine(Executor()).n_workers == 64, "unknown"


def test_all_workers_are_busy_however_few_cores_this_machine_has(tmp_path: Path) -> None:
    for n in range(64):
        small(tmp_path / f"{n:02d}_flt.fits", n)
    everyone = threading.Barrier(64)

    class Waiting(ThreadPoolExecutor):
        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            def meeting() -> object:
                everyone.wait(timeout=60)
                return task(*args, **more)

            return super().submit(meeting)

    with Waiting(64) as executor:
        report = create_masks(
            f"{tmp_path}/*flt.fits", output_dir=tmp_path / "m", executor=executor, jobs=1
        )
    assert len(report.exposures) == 64


def test_few_bad_pixels_travel_as_positions_and_many_as_bits() -> None:
    rng = np.random.default_rng(1)
    record = ChipRecord(file="a", extver=1)
    for n_bad, most in ((2000, 10_000), (1_000_000, 1_050_000)):
        bad = np.zeros(2048 * 4096, bool)
        bad[rng.integers(0, bad.size, n_bad)] = True
        sent = pickle.dumps(Measured(record=record, bad=pack(bad), not_finite=pack(bad[:99])))
        assert len(sent) < most
        arrived = pickle.loads(sent)
        assert (arrived.bad == pack(bad)).all()
        assert (arrived.not_finite == pack(bad[:99])).all()
        assert arrived.record == record


class KilledWorker(Exception):  # noqa: N818 - its name there
    """As dask's: of a library that is not ours."""


class Failing(Executor):
    """Fails each task in the same way, the first when it is submitted or later."""

    _max_workers = 2

    def __init__(self, error: BaseException, *, at_once: bool = False) -> None:
        self.error, self.at_once = error, at_once
        self.futures: list[Future] = []

    def submit(self, *_: object, **__: object) -> Future:
        if self.at_once:
            raise self.error
        future: Future = Future()
        self.futures.append(future)
        if isinstance(self.error, concurrent.futures.CancelledError):
            future.cancel()
            future.set_running_or_notify_cancel()
        elif len(self.futures) == 1:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            KilledWorker("task died\non 4 workers"),
            (
                r"0_flt.fits: the executor could not run its task \(KilledWorker: task died\); "
                "nothing was written; run again"
            ),
        ),
        (concurrent.futures.CancelledError(), r"0_flt.fits: .*\(CancelledError\); nothing"),
        (
            ModuleNotFoundError("No module named 'staticmask_cli'"),
            (
                r"0_flt.fits: .*No module named 'staticmask_cli'\); nothing was written; "
                r"install staticmask \S+ where the workers run"
            ),
        ),
        (
            concurrent.futures.BrokenExecutor("gone"),
            "0_flt.fits: its worker process was killed, perhaps because memory ran out",
        ),
        (RuntimeError("cannot schedule new futures after shutdown"), "after shutdown"),
    ],
)
def test_failures_of_an_engine_are_one_line_and_cancel_the_rest(
    error: BaseException, expected: str, at_once: bool, tmp_path: Path
) -> None:
    for n in range(4):
        small(tmp_path / f"{n}_flt.fits", n)
    failing = Failing(error, at_once=at_once)
    with pytest.raises(StaticMaskError, match=expected) as caught:
        create_masks(f"{tmp_path}/*flt.fits", output_dir=tmp_path / "m", executor=failing)
    assert len(caught.value.problems) == 1
    assert not (tmp_path / "m").exists()
    assert all(future.done() for future in failing.futures)


def raise_key_error(_: Chip) -> None:
    raise KeyError("a bug")


@pytest.mark.parametrize("engine", [threads, processes])
def test_a_bug_of_a_task_is_not_taken_for_a_failure_of_the_engine(
    engine: Callable, tmp_path: Path
) -> None:
    path = small(tmp_path / "a_flt.fits")
    with engine() as executor:
        loop: ExposureLoop = ExposureLoop(
            merge(flags={"output_dir": (str(tmp_path), ARGUMENT)}).settings,
            raise_key_error,
            Engine(executor),
            RunRecord(),
        )
        with pytest.raises(KeyError, match="a bug") as caught:
            list(loop.run([path], {}))
    if engine is processes:
        assert "in raise_key_error" in "".join(caught.value.__notes__)


def test_workers_need_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small(tmp_path / "a_flt.fits")
    called = engines._called
    monkeypatch.setattr(engines, "_called", lambda _, *rest, **more: called("0.0.1", *rest, **more))
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(StaticMaskError, match=r"the worker on \S+ has staticmask .*, not 0.0.1"),
    ):
        create_masks(path, output_dir=tmp_path / "m", executor=executor)


@pytest.mark.parametrize("n_exposures", [3, 70])
@pytest.mark.parametrize("keep_going", [False, True])
def test_workers_without_the_folder_are_an_error_that_names_the_path(
    keep_going: bool, n_exposures: int, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for n in range(n_exposures):
        small(data / f"{n:02d}_flt.fits", n)

    class Elsewhere(Executor):
        """Runs tasks while the folder is not there."""

        _max_workers = 2

        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            data.rename(tmp_path / "hidden")
            future: Future = Future()
            future.set_result(task(*args, **more))
            (tmp_path / "hidden").rename(data)
            return future

    with pytest.raises(StaticMaskError) as caught:
        create_masks(
            f"{data}/*flt.fits",
            output_dir=tmp_path / "m",
            executor=Elsewhere(),
            keep_going=keep_going,
        )
    (line,) = caught.value.problems
    assert line.startswith(f"{data}/00_flt.fits: exists, but not for the worker on ")
    assert line.endswith("; give all workers the same folders")


def test_an_exposure_that_vanishes_is_an_ordinary_problem(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(3)]

    class Slow(ThreadPoolExecutor):
        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            paths[1].unlink(missing_ok=True)
            return super().submit(task, *args, **more)

    with Slow(1) as executor:
        report = create_masks(paths, output_dir=tmp_path / "m", executor=executor, keep_going=True)
    assert [failed.path for failed in report.failed] == [str(paths[1])]


def test_a_scheduler_that_lost_all_workers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(Executor):
        num_workers = 0

    monkeypatch.setattr(engines, "_SILENCE", 0.1)
    with pytest.raises(StaticMaskError, match=r"has no workers \(waited 0.1 s\)"):
        Engine(Empty()).wait(SimpleQueue())


def test_executor_and_scheduler_exclude_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(ConfigError, match="both given"):
        create_masks(tmp_path, executor=executor, scheduler="local")


def test_the_command_starts_workers_or_connects_to_a_scheduler(
    staticmask_process: Run, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    for n in range(3):
        small(tmp_path / f"{n}_flt.fits", n)
    expected = staticmask_process("*flt.fits", "-o", "m").stdout
    options = ["--scheduler", "local", "-j", "1", "--summary", "s.json"]
    result = staticmask_process("*flt.fits", "-o", "n", *options)
    assert result.stderr == ""
    assert result.stdout == expected.replace("m/", "n/")
    assert json.loads((tmp_path / "s.json").read_text("utf-8"))["exit_status"] == 0
    with cluster() as at:
        result = staticmask_process("*flt.fits", "-o", "p", "--scheduler", at.scheduler_address)
        assert (result.stdout, result.stderr) == (expected.replace("m/", "p/"), "")
        scheduler = json.dumps({"address": at.scheduler_address})
        (tmp_path / "scheduler.json").write_text(scheduler, "utf-8")
        rows = staticmask_process("sweep", "*flt.fits", "--scheduler", "scheduler.json")
        assert rows.stdout == staticmask_process("sweep", "*flt.fits").stdout
    assert contents(tmp_path / "m") == contents(tmp_path / "n") == contents(tmp_path / "p")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nowhere", "missing port"),
        ("http://127.0.0.1:9", "unknown address scheme"),
        ("tcp://127.0.0.1:9", "Timed out trying to connect"),
        ("not.json", "not a scheduler file"),
    ],
)
def test_schedulers_that_cannot_be_used_are_one_line(
    address: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "_PATIENCE", 0.5)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "not.json").write_text("no", "utf-8")
    with pytest.raises(StaticMaskError, match=f"^scheduler {address}: .*{reason}") as caught:
        create_masks(small(tmp_path / "a_flt.fits"), scheduler=address)
    assert len(caught.value.problems) == 1


def test_a_scheduler_without_workers_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_PATIENCE", 0.5)
    with cluster(0) as at, pytest.raises(StaticMaskError, match="workers arrived"):
        create_masks(small(tmp_path / "a_flt.fits"), scheduler=at.scheduler_address)


def test_without_dask_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(StaticMaskError, match=r"pip install 'staticmask-cli\[dask\]'"):
        create_masks(small(tmp_path / "a_flt.fits"), scheduler="local")


def test_neither_dask_nor_fsspec_is_imported_unless_asked_for(tmp_path: Path) -> None:
    small(tmp_path / "a_flt.fits")
    code = (
        "import sys; from staticmask_cli.cli.main import main\n"
        "try: main(['a_flt.fits'])\n"
        "except SystemExit: pass\n"
        "print({'dask', 'distributed', 'fsspec', 's3fs', 'aiohttp'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("n_exposures", [40, 400])
def test_masks_are_equal_though_workers_are_killed_every_second(
    n_exposures: int, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")  # has defaults, which must be there before
    dask_config = pytest.importorskip("dask").config
    for n in range(n_exposures):
        exposure(tmp_path / f"{n:03d}_flt.fits", [sky(n, (400, 300), low=9)], errors=False)
    create_masks(f"{tmp_path}/*flt.fits", output_dir=tmp_path / "one", counts=True)
    killed: list[int] = []
    done = threading.Event()

    def kill(at: Any) -> None:
        while not done.wait(1.0):
            living = [nanny.process.pid for nanny in at.workers.values() if nanny.process]
            for pid in filter(None, living[:1]):
                os.kill(pid, 9)
                killed.append(pid)

    with dask_config.set(PATIENT), cluster(3) as at, at.get_client() as client:
        killer = threading.Thread(target=kill, args=(at,))
        killer.start()
        try:
            for attempt in range(20):  # until some were killed during a run
                before, began = len(killed), time.monotonic()
                create_masks(
                    f"{tmp_path}/*flt.fits",
                    output_dir=tmp_path / "made",
                    counts=True,
                    executor=client.get_executor(),
                )
                assert contents(tmp_path / "made") == contents(tmp_path / "one")
                if len(killed) >= before + 3 or (attempt >= 3 and len(killed) >= 4):
                    break
                assert time.monotonic() - began < 300
        finally:
            done.set()
            killer.join()
    assert len(killed) >= 3
