"""The loop over exposures: its order, its window, and what all tasks have in common."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from staticmask_cli import InputError
from staticmask_cli.config.merging import ARGUMENT, merge
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.masking.engines import Engine
from staticmask_cli.masking.explain import explain
from staticmask_cli.masking.exposure_loop import ExposureLoop
from staticmask_cli.masking.make import make_masks
from staticmask_cli.masking.measure import measure, unmeasured
from staticmask_cli.masking.sweep import sweep
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.settings import Background, Settings
from tests.support.makers import INSTRUMENTS, exposure, sky
from tests.support.runs import small


@dataclass
class Done:
    """What the work of these tests returns."""

    record: ChipRecord


def settings(folder: Path, pattern: str = "*flt.fits", **options: object) -> Settings:
    given = {"input": [str(folder / pattern)], "output_dir": str(folder / "m")} | options
    return merge(flags={name: (value, ARGUMENT) for name, value in given.items()}).settings


def names(loop: ExposureLoop, paths: list[Path]) -> list[str]:
    return [Path(result.name).name for result in loop.run(paths, {})]


def test_a_slow_exposure_does_not_stall_the_others_and_comes_first(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(8)]
    others = threading.Semaphore(0)

    def work(chip: Chip) -> Done:
        if chip.file == "0_flt.fits":
            for _ in range(7):  # it is done only when all others are
                assert others.acquire(timeout=30)
        else:
            others.release()
        return Done(unmeasured(chip))

    with ThreadPoolExecutor(2) as workers:
        loop = ExposureLoop(settings(tmp_path), work, Engine(workers), RunRecord())
        assert names(loop, paths) == [path.name for path in paths]


def two_chips(path: Path, seed: int) -> Path:
    primary, chips = INSTRUMENTS["acs_wfc"]
    return exposure(path, [sky(seed), sky(seed + 50)], primary=primary, chips=chips)


def test_the_chips_of_a_single_exposure_are_read_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def work(chip: Chip) -> Done:
        both.wait(timeout=30)
        return Done(unmeasured(chip))

    path = two_chips(tmp_path / "a_flt.fits", 1)
    with ThreadPoolExecutor(2) as workers:
        loop = ExposureLoop(settings(tmp_path), work, Engine(workers), RunRecord())
        assert names(loop, [path]) == [path.name]


def test_a_worker_reads_all_chips_of_an_exposure_except_of_the_last_ones(tmp_path: Path) -> None:
    paths = [two_chips(tmp_path / f"{n}_flt.fits", n) for n in range(5)]
    tasks: list[list[str]] = []
    current = threading.local()  # the task that a thread runs

    def work(chip: Chip) -> Done:
        current.chips.append(f"{chip.file[0]}{chip.extver}")
        return Done(unmeasured(chip))

    class Noting(ThreadPoolExecutor):
        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            def noted() -> object:
                current.chips = []
                tasks.append(current.chips)
                return task(*args, **more)

            return super().submit(noted)

    with Noting(2) as workers:
        loop = ExposureLoop(settings(tmp_path), work, Engine(workers), RunRecord())
        assert names(loop, paths) == [path.name for path in paths]
    # One task opens the last exposure, too.
    expected = [["01", "02"], ["11", "12"], ["21", "22"], ["31", "32"], [], ["41"], ["42"]]
    assert sorted(tasks) == sorted(expected)


def test_workers_do_not_receive_the_list_of_all_exposures(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(3)]
    sizes: list[int] = []

    class Sending(ThreadPoolExecutor):
        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            sizes.append(len(pickle.dumps((task, args, more))))
            return super().submit(task, *args, **more)

    given = settings(tmp_path)
    given = replace(given, input=(*given.input, *(f"{tmp_path}/missing{n}" for n in range(9999))))
    with Sending(2) as workers:
        loop = ExposureLoop(
            given,
            partial(measure, static_sig=4.0, background=Background.CHIP),
            Engine(workers),
            RunRecord(),
        )
        assert len(names(loop, paths)) == 3
    assert max(sizes) < 10000


@pytest.mark.parametrize(
    ("n_workers", "is_local", "n_open"), [(1, True, 12), (3, True, 20), (1, False, 48)]
)
def test_not_all_exposures_wait_behind_a_slow_one(
    n_workers: int, is_local: bool, n_open: int, tmp_path: Path
) -> None:
    paths = [small(tmp_path / f"{n:02d}_flt.fits", n) for n in range(50)]
    tasks: list[tuple[Future, Callable[[], object]]] = []

    def work(chip: Chip) -> Done:
        return Done(unmeasured(chip))

    class Workers(Executor):
        """Does the first when many wait for it."""

        _max_workers = n_workers

        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            future: Future = Future()
            tasks.append((future, partial(task, *args, **more)))
            if len(tasks) > 1:
                future.set_result(tasks[-1][1]())
            if len(tasks) == n_open:
                first, its_task = tasks[0]
                first.set_result(its_task())
            return future

    engine = Engine(Workers(), is_local=is_local)
    loop = ExposureLoop(settings(tmp_path), work, engine, RunRecord())
    found = loop.run(paths, {})
    assert Path(next(found).name) == paths[0]
    # Only this many were opened before the first was done.
    assert len(tasks) == n_open
    assert [Path(result.name) for result in found] == paths[1:]


@pytest.mark.parametrize("task", ["make", "sweep", "explain"])
def test_all_tasks_warn_skip_and_fail_alike(
    task: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small(tmp_path / "a_flt.fits", 1, primary={"NEXTEND": 7})
    small(tmp_path / "b_flt.fits", 2, primary={"EXPTIME": 0.0})
    (tmp_path / "c_flt.fits").write_bytes(b"no")
    (tmp_path / "d_flt.fits").write_bytes((tmp_path / "a_flt.fits").read_bytes())
    small(tmp_path / "e_flt.fits", 3)
    run_record = RunRecord()
    given = settings(tmp_path, keep_going=True)
    with caplog.at_level(logging.WARNING):
        {
            "make": lambda: make_masks(given, run_record=run_record),
            "sweep": lambda: sweep(given, [4.0], run_record=run_record),
            "explain": lambda: explain(given, [(1, 1)], run_record=run_record),
        }[task]()
    states = [exposure.state for exposure in run_record.exposures]
    assert states == ["read", "skipped", "failed", "duplicate", "read"]
    said = [warning.removeprefix(f"{tmp_path}/") for warning in run_record.warnings]
    assert sorted(said) == [
        "a_flt.fits: NEXTEND is 7, but found 1 extensions; may be truncated",
        "b_flt.fits: SCI,1: skipped: EXPTIME is 0",
        "d_flt.fits: NEXTEND is 7, but found 1 extensions; may be truncated",
        f"d_flt.fits: SCI,1: has the same pixels as {tmp_path}/a_flt.fits SCI,1; they count once",
    ]
    logged = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [line for line in logged if line in run_record.warnings] == run_record.warnings
    (error,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "c_flt.fits" in error
    assert error.endswith("; skipped")


@pytest.mark.parametrize("task", ["make", "sweep", "explain"])
def test_two_calibrations_of_one_exposure_fail_every_task(task: str, tmp_path: Path) -> None:
    for suffix, seed in (("flc", 1), ("flt", 2)):
        small(tmp_path / f"j8bt06nyq_{suffix}.fits", seed)
    given = settings(tmp_path, "*fl?.fits", keep_going=True)
    run_record = RunRecord()
    {
        "make": lambda: make_masks(given, run_record=run_record),
        "sweep": lambda: sweep(given, [4.0], run_record=run_record),
        "explain": lambda: explain(given, [(1, 1)], run_record=run_record),
    }[task]()
    assert [exposure.state for exposure in run_record.exposures] == ["read", "failed"]
    assert "calibrated in another way" in run_record.exposures[1].reasons[0]


def test_sweep_and_explain_take_executors_of_other_processes(tmp_path: Path) -> None:
    for n in range(3):
        small(tmp_path / f"{n}_flt.fits", n)
    given = settings(tmp_path)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert sweep(given, [3.0, 4.0], executor=executor) == sweep(given, [3.0, 4.0])
        told = explain(given, [(3, 4)], executor=executor)
    assert str(told) == str(explain(given, [(3, 4)]))  # NaN differs from itself


def test_warnings_of_a_run_that_fails_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small(tmp_path / "a_flt.fits", primary={"NEXTEND": 7})
    (tmp_path / "b_flt.fits").write_bytes(b"no")
    with pytest.raises(InputError, match="b_flt"):
        make_masks(settings(tmp_path))
    assert any("NEXTEND is 7" in record.getMessage() for record in caplog.records)


def test_a_warning_is_given_once() -> None:
    run_record = RunRecord()
    for _ in range(3):
        run_record.warn("twice told")
    assert run_record.warnings == ["twice told"]
