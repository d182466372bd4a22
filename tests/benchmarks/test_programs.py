"""The benchmark and the collection of evidence run, on small data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.benchmarks import benchmark
from tests.benchmarks.benchmark import CASES, FLOOR, NUMPY, ONE_CORE, OURS, PEER, VOTES, Usage
from tests.support.scenes import SHAPES

ROOT = Path(__file__).parents[2]


def output(module: str, *options: str) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_the_benchmark_runs() -> None:
    # Its timings are not checked, because they vary.
    tables = output("benchmark", "--runs", "1", "--shape", "64", "80", "--limit", "5", "--markdown")
    plain, _, markdown = tables.partition("\n\n| ")
    rows = {
        (line[:12].strip(), line[12:38].strip()): line[38:].split() for line in plain.splitlines()
    }
    titles = ["1", "4", "5", "5 .fits.gz", "5 RICE_1", "5 GZIP_2", "5 small"]
    for title in titles:
        for program in (FLOOR, OURS):
            wall, shortest, cpu, each, *_, memory, peer = rows[title, program]
            assert min(map(float, (wall, shortest, cpu, each, memory))) > 0
            assert peer == "-"
    assert {title for title, program in rows if program == ONE_CORE} == {"1", "4", "5"}
    assert {title for title, program in rows if program == VOTES} == {"4", "5"}
    assert markdown.startswith(f"exposures | {' | '.join(titles)} |\n| --- |")
    assert "| staticmask / floor | " in markdown
    assert "DrizzlePac" not in markdown


def test_the_benchmark_compares_with_numpy_if_there_is_a_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "LIBRARY", tmp_path / "kernel.so")
    assert NUMPY not in benchmark.commands(CASES["1"], [], tmp_path, None)
    (tmp_path / "kernel.so").touch()
    found = benchmark.commands(CASES["1"], [], tmp_path, None)
    assert {*found[NUMPY]} ^ {*found[OURS]} == {tmp_path / NUMPY, tmp_path / OURS}


def test_the_benchmark_switches_the_kernel_off_and_runs_drizzlepac_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STATICMASK_KERNEL", "off")

    def expects(value: str | None) -> list[str]:
        program = f"import os; assert os.environ.get('STATICMASK_KERNEL') == {value!r}"
        return [sys.executable, "-S", "-c", program]

    programs = {OURS: expects(None), NUMPY: expects("off"), PEER: expects(None)}
    usages = benchmark.race(programs, 2)
    assert {name: len(found) for name, found in usages.items()} == {OURS: 2, NUMPY: 2, PEER: 1}


def test_the_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    usages = {
        name: [Usage(wall, 1.0, 1.0) for wall in walls]
        for name, walls in {OURS: (1, 6, 6), FLOOR: (1, 2, 4), PEER: (8,)}.items()
    }
    assert benchmark.ratio(usages, OURS, FLOOR) == "1.50"
    assert benchmark.ratio(usages, PEER, OURS) == "8.00"
    assert benchmark.ratio(usages, NUMPY, FLOOR) == "-"


@pytest.mark.parametrize("program", [OURS, NUMPY, ONE_CORE])
def test_the_benchmark_fails_if_a_mask_differs_from_drizzlepacs(
    program: str, tmp_path: Path
) -> None:
    for name in (program, PEER):
        (tmp_path / name).mkdir()
    mask = np.ones((2, 3), np.int16)
    fits.PrimaryHDU(mask).writeto(tmp_path / program / "ACSWFC_2x3_1_staticMask.fits")
    np.save(tmp_path / PEER / "mask1.npy", mask)
    benchmark.check_equal(tmp_path)
    mask[1, 2] = 0
    np.save(tmp_path / PEER / "mask1.npy", mask)
    with pytest.raises(RuntimeError, match=f"{program}: ACSWFC_2x3_1_staticMask"):
        benchmark.check_equal(tmp_path)


@pytest.mark.slow
def test_the_evidence_has_a_value_for_every_field_and_check() -> None:
    tables = output("evidence", "--seeds", "1", "--exposures", "2", "--shape", "256", "256")
    for field in ("clean", "defective", "faint", "crowded", "nebulous", "dark", "shadow"):
        (row,) = (line for line in tables.splitlines() if line.startswith(f"| {field} |"))
        values = [cell.strip() for cell in row.split("|")[2:-1]]
        assert "-" not in values, row


@pytest.mark.slow
def test_the_evidence_for_backgrounds_has_a_value_for_every_field_and_shape() -> None:
    options = ("--seeds", "1", "--shape", "80", "80", "--kinds", "blank", "cluster")
    tables = output("backgrounds", *options)
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line[:2] == "| "]
    names = [row[0] for row in rows]
    assert {names.count(kind) for kind in ("blank", "cluster")} == {4}
    assert all(names.count(shape) == 1 for shape in SHAPES)
    assert "nan" not in tables
    # The targets hold on this blank field, in both units.
    blank = rows[names.index("blank")]
    assert all(float(cell.split(", ")[0]) == 1 for cell in blank[1:])


@pytest.mark.slow
def test_the_benchmark_of_clusters_runs() -> None:
    lines = output(
        "clusters", "--exposures", "150", "--workers", "3", "--seconds", "0.01"
    ).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if " s, " in line]
    assert [row[:2] for row in rows] == [
        [how, f"0.01 s, {kind}"]
        for how in ("one by one", "in parts")
        for kind in ("even", "long tail")
    ]
    for row in rows:
        assert all(float(cell) > 0 for cell in row[2:])
    sizes = output("clusters", "--real", "--shape", "64", "80").splitlines()[2:]
    assert [line.split(" | ")[0] for line in sizes] == [
        *("| defaults", "| min_exposures 2", "| final_bits 0"),
    ]


@pytest.mark.slow
def test_the_benchmark_of_dask_compares_masks() -> None:
    pytest.importorskip("distributed")
    lines = output("clusters", "--dask", "--shape", "64", "80", "--runs", "1").splitlines()
    assert lines[0].endswith("masks equal: True")
    assert [line.partition(":")[0] for line in lines[1:]] == ["threads", "dask", "dask / threads"]
