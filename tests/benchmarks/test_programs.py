"""The benchmark and the collection of evidence run, on small data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def output(module: str, *options: str) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_benchmark_runs() -> None:
    # Its timings are not checked, because they vary.
    table = output("benchmark", "--exposures", "1", "2", "--runs", "1", "--shape", "64", "80")
    for row in ("read a chip", "write a mask", "floor", "jobs 1", "jobs 2", "2 exposures"):
        assert row in table


def test_the_evidence_has_a_value_for_every_field_and_check() -> None:
    tables = output("evidence", "--seeds", "1", "--exposures", "2", "--shape", "256", "256")
    for field in ("clean", "defective", "faint", "crowded", "nebulous", "dark", "shadow"):
        (row,) = (line for line in tables.splitlines() if line.startswith(f"| {field} |"))
        values = [cell.strip() for cell in row.split("|")[2:-1]]
        assert "-" not in values, row
