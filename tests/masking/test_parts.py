"""Masks of parts that workers make: the masks, reports and errors of a run without parts."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from staticmask_cli import InputError, create_masks
from staticmask_cli.exposures.chips import Chip
from staticmask_cli.masking import parts
from staticmask_cli.masking.engines import Engine
from staticmask_cli.masking.parts import are_worthwhile
from tests.support.runs import small
from tests.support.samples import VOTES, contents, write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of a few exposures."""
    monkeypatch.setattr(
        "staticmask_cli.masking.make.are_worthwhile", lambda _, engine: not engine.is_local
    )


class Foreign(Executor):
    """Runs each task when it is submitted, with arguments and results that have travelled."""

    _max_workers = 2

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
        task, args, more = pickle.loads(pickle.dumps((task, args, more)))
        result = pickle.dumps(task(*args, **more))
        self.sizes.append(len(result))
        future: Future = Future()
        future.set_result(pickle.loads(result))
        return future


def outcome(paths: list[Path], folder: Path, **options: object) -> tuple[object, ...]:
    """Return masks and states of a run, or its errors; which of two copies is first may differ."""
    try:
        report = create_masks(paths, output_dir=folder, **options)
    except InputError as error:
        return tuple(sorted(error.problems))
    states = [exposure.state for exposure in report.exposures]
    alike = ["read" if state == "duplicate" else state for state in states]
    assert [exposure.path for exposure in report.exposures] == [str(path) for path in paths]
    return contents(folder), alike, sorted(states), len(report.warnings), report.failed_checks


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), options=st.sampled_from(VOTES), copies=st.booleans())
def test_parts_in_any_order_are_one_run_byte_for_byte(
    data: st.DataObject, options: dict, copies: bool, sample: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)  # of the last example
    tmp_path.mkdir()
    paths = sorted(sample.glob("*.fits"))
    if copies:
        for name in ("h0", "h3", "o1"):
            paths.append(Path(shutil.copy(sample / f"{name}_flt.fits", tmp_path / f"{name}b.fits")))
            paths.append(Path(shutil.copy(sample / f"{name}_flt.fits", tmp_path / f"a{name}.fits")))
    paths = data.draw(st.permutations(paths))
    options = options | {"keep_going": data.draw(st.sampled_from([True, True, True, False]))}
    one = outcome(paths, tmp_path / "one", **options)
    foreign = Foreign()
    made = outcome(paths, tmp_path / "made", executor=foreign, **options)
    if isinstance(one[0], dict):
        assert made[0] == one[0]
        assert len(one[0]) == 4
    assert made[1:] == one[1:]


def test_calibrations_of_one_exposure_in_two_parts_are_an_error(tmp_path: Path) -> None:
    """Their names do not reveal it, but their headers."""
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(9)]
    for name, seed, product in (("first", 20, "flt"), ("second", 21, "flc")):
        primary = {"ROOTNAME": "j8bt06nyq", "FILENAME": f"j8bt06nyq_{product}.fits"}
        paths.append(small(tmp_path / f"{name}.fits", seed, primary=primary))
    expected = outcome(paths, tmp_path / "one")
    assert "calibrated in another way" in str(expected)
    assert len(outcome(paths, tmp_path / "made", executor=Foreign())) == len(expected) == 1
    report = create_masks(paths, output_dir=tmp_path / "m", executor=Foreign(), keep_going=True)
    assert [Path(failed.path).name for failed in report.failed] == ["second.fits"]


def test_paths_are_relative_to_the_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for n in range(6):
        small(tmp_path / f"data/{n}_flt.fits", n)
    (tmp_path / "data/7_flt.fits").write_bytes(b"no")
    (tmp_path / "8_flt.fits").write_bytes(b"no")
    given_ = ["data/*.fits", "*.fits", "data/9_flt.fits"]
    report = create_masks(given_, output_dir="one", keep_going=True)
    with ProcessPoolExecutor(2, get_context("spawn"), os.chdir, ("/",)) as elsewhere:
        made = create_masks(given_, output_dir="made", keep_going=True, executor=elsewhere)
    assert contents(tmp_path / "made") == contents(tmp_path / "one")
    assert made.exposures == report.exposures
    assert made.failed == report.failed
    assert len(made.failed) == 3
    with pytest.raises(InputError) as error:
        create_masks(given_, output_dir="no", executor=Foreign())
    assert sorted(error.value.problems) == sorted(failed.reasons[0] for failed in report.failed)
    assert not (tmp_path / "no").exists()


def test_warnings_of_workers_are_logged_by_the_process_of_the_user(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n, primary={"NEXTEND": 7}) for n in range(4)]
    with (
        caplog.at_level(logging.WARNING),
        ProcessPoolExecutor(2, get_context("spawn")) as executor,
    ):
        report = create_masks(paths, output_dir=tmp_path, executor=executor)
    logged = [record.getMessage() for record in caplog.records if "NEXTEND" in record.getMessage()]
    assert logged == [warning for warning in report.warnings if "NEXTEND" in warning]
    assert [line.partition(":")[0] for line in logged] == [str(path) for path in paths]


def test_progress_counts_the_exposures_of_all_parts(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(20)]
    paths.append(Path(shutil.copy(paths[0], tmp_path / "copy.fits")))
    seen: list[tuple[int, int]] = []
    create_masks(
        paths, output_dir=tmp_path / "m", executor=Foreign(), progress=lambda *n: seen.append(n)
    )
    assert [total for _, total in seen] == [21] * len(seen)
    done = [n for n, _ in seen]
    assert done == sorted(set(done))
    assert done[-1] == 21


def test_parts_become_smaller_and_keep_calibrations_together() -> None:
    paths = [Path(f"j{n:07d}q_{kind}.fits") for kind in ("flt", "flc") for n in range(5000)]
    engine = Engine(Foreign())
    found = [*parts._divided(paths, engine)]
    assert sorted(path for part in found for path in part) == sorted(paths)
    sizes = [len(part) for part in found]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (2 * 256, 2)
    for part in found:
        assert len({path.name[:9] for path in part}) == len(part) / 2


def test_only_many_exposures_are_divided_and_only_for_other_engines() -> None:
    with ThreadPoolExecutor(2) as threads:
        other, own = Engine(threads), Engine(threads, is_local=True)
        assert not are_worthwhile(64, other)
        assert are_worthwhile(65, other)
        assert not are_worthwhile(10000, own)


def test_a_run_that_is_lost_reads_no_further_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_flt.fits").write_bytes(b"no")
    paths = [tmp_path / "a_flt.fits", *(small(tmp_path / f"{n}_flt.fits", n) for n in range(9))]
    read: list[str] = []

    def measured(chip: Chip, **_: object) -> None:
        read.append(chip.file)
        raise InputError("not to be read")

    monkeypatch.setattr("staticmask_cli.masking.make.measure", measured)

    class Here(Foreign):
        def submit(self, task: Callable, /, *args: object, **more: object) -> Future:
            future: Future = Future()
            future.set_result(task(*args, **more))
            return future

    with pytest.raises(InputError, match="a_flt"):
        create_masks(paths, output_dir=tmp_path / "m", executor=Here())
    assert len(read) <= 6  # parts that were submitted before the first was made


def test_a_part_takes_few_bytes_and_does_not_grow_with_its_exposures(tmp_path: Path) -> None:
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(40)]
    foreign = Foreign()
    create_masks(paths, output_dir=tmp_path / "m", executor=foreign)
    assert len(foreign.sizes) < 30
    assert sum(foreign.sizes) / 40 < 2000
