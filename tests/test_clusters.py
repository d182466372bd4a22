"""The scripts of the chapters on clusters, with plain processes in the place of schedulers."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from staticmask_cli import create_masks
from tests.conftest import without_settings
from tests.support.makers import instrument_exposure
from tests.support.runs import small

MANUAL = Path(__file__).parents[1] / "man"
CHAPTER = (MANUAL / "clusters.md").read_text(encoding="utf-8")
ENGINES = (MANUAL / "engines.md").read_text(encoding="utf-8")
TASKS = 3

# Runs the tasks of a script one after the other, as many as there are in this test.
SBATCH = f"""
for script; do :; done
echo 1
grep -q -- '--array=1-64' "$script" || exec sh "$script" >&2
for task in $(seq {TASKS}); do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT={TASKS} sh "$script" >&2 || exit 1
done
"""


@pytest.fixture
def exposures(tmp_path: Path) -> list[Path]:
    """Return some exposures, one of which cannot be used, in a list."""
    paths = [small(tmp_path / f"{n}_flt.fits", n) for n in range(6)]
    paths += [instrument_exposure(tmp_path, "acs_wfc", n, (16, 20)) for n in range(3)]
    paths[2].write_text("no FITS")
    (tmp_path / "exposures.txt").write_text("".join(f"{path.name}\n" for path in paths))
    return paths


def run(script: str, folder: Path, *, status: int = 0) -> None:
    """Run a script of a shell in which the commands that it needs are on the path."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    for name, text in (
        ("staticmask", f'exec {python} -W error -m staticmask_cli "$@"'),
        ("sbatch", SBATCH),
        ("dask", f'exec {python} -m dask "$@" 2> /dev/null'),
        ("srun", 'exec "$@"'),
    ):
        (commands / name).write_text(f"#!/bin/sh\n{text}\n")
        (commands / name).chmod(0o755)
    environment = without_settings() | {"PATH": f"{commands}:{os.environ['PATH']}"}
    shell = subprocess.Popen(
        ["sh", "-ec", script], cwd=folder, env=environment, start_new_session=True
    )
    try:
        assert shell.wait(timeout=300) == status
    finally:
        with contextlib.suppress(ProcessLookupError):  # of what it left in the background
            os.killpg(shell.pid, signal.SIGTERM)


def check(exposures: list[Path], folder: Path) -> None:
    """Compare the masks with those of one run."""
    create_masks(exposures, output_dir=folder / "one", keep_going=True)
    one, masks = (
        {path.name: path.read_bytes() for path in (folder / name).glob("*.fits")}
        for name in ("one", "masks")
    )
    assert len(one) == 3
    assert masks == one


def blocks(kind: str, chapter: str = CHAPTER) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", chapter, re.DOTALL | re.MULTILINE)


def test_the_slurm_scripts_and_the_tree_make_the_masks_of_one_run(
    exposures: list[Path], tmp_path: Path
) -> None:
    for name in ("parts.sh", "combine.sh"):
        (script,) = blocks(f"slurm {name}")
        (tmp_path / name).write_text(script)
    submit, tree = blocks("sh")
    run(submit, tmp_path)
    check(exposures, tmp_path)
    # Again, with groups of two.
    run(f"rm -r masks\n{tree.replace('-n 8', '-n 2')}", tmp_path)
    check(exposures, tmp_path)


def test_the_condor_submit_file_makes_the_masks_of_one_run(
    exposures: list[Path], tmp_path: Path
) -> None:
    (submit,) = blocks("condor")
    values = dict(re.findall(r"^(\w+) = (.*)$", submit, re.MULTILINE))
    assert re.search(r"^queue \$\(N\)$", submit, re.MULTILINE)
    assert values["executable"] == "/usr/bin/env"
    for process in range(TASKS):
        line = values["arguments"].strip('"')
        line = line.replace("$(Process)", str(process)).replace("$(N)", str(TASKS))
        run(f"/usr/bin/env {line} || [ $? -eq 3 ]", tmp_path)
    run("staticmask combine 'parts/*/*_staticMask.fits' -o masks", tmp_path)
    check(exposures, tmp_path)


def test_the_workers_of_slurm_and_the_example_in_python_make_the_masks_of_one_run(
    exposures: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    (script,) = blocks("slurm workers.sh", ENGINES)
    (example,) = blocks("python", ENGINES)
    (tmp_path / "example.py").write_text(example)
    # While the scheduler runs; the example uses all exposures.
    then = (
        f"mv masks first\nrm {exposures[2].name}\n{shlex.quote(sys.executable)} -W error example.py"
    )
    run(f"{script.rstrip()} || [ $? -eq 3 ]\n{then}\n", tmp_path)
    check([path for path in exposures if path.exists()], tmp_path)
    (tmp_path / "masks").rename(tmp_path / "second")
    (tmp_path / "first").rename(tmp_path / "masks")
    exposures[2].write_text("no FITS")
    check(exposures, tmp_path)
