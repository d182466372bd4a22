"""How busy a run keeps many workers, and what reaches its process.

    python -m tests.benchmarks.clusters [--exposures N] [--workers N] [--seconds X ...]
    python -m tests.benchmarks.clusters --real | --dask

The workers are processes of this machine that sleep before they open an exposure of 32 x 32
pixels: for the same time, or for times with a long tail (log-normal, sigma 1, at most 20
times the mean). Exposures are read one by one (`sweep`) or in parts (`make`). A
worker is busy while it sleeps; everything else, also reading, counts as idle. Bytes are
the pickled results; the CPU time and the largest memory are those of the process that
runs `create_masks`.

`--real` measures what is returned for ACS/WFC exposures of 168 MB, and the CPU time of the
process for each; `--dask` the overhead of a dask scheduler with a worker on each core.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from staticmask_cli import create_masks, sweep
from staticmask_cli.masking import worker
from staticmask_cli.masking.measure import measure
from staticmask_cli.masking.parts import make_part
from staticmask_cli.settings import Background
from tests.benchmarks.benchmark import CASES, DISTINCT, Shape, make_exposure, race, ratio
from tests.support.makers import exposure, sky

SHAPE = (32, 32)
LARGEST = 20  # the longest time, in units of the mean
EVEN, TAIL = "even", "long tail"
SINGLY, PARTS = "one by one", "in parts"


def seconds(name: str, mean: float, kind: str) -> float:
    """Return the time that an exposure takes."""
    if kind == EVEN:
        return mean
    sigma = 1.0
    drawn = random.Random(name).lognormvariate(-(sigma**2) / 2, sigma)
    return mean * min(drawn, LARGEST)


def slow_down(mean: float, kind: str) -> None:
    """Have this worker sleep before it opens an exposure."""
    opened = worker.open_and_read

    def slowly(path: Path, *rest: Any, **more: Any) -> Any:
        time.sleep(seconds(path.name, mean, kind))
        return opened(path, *rest, **more)

    worker.open_and_read = slowly  # type: ignore[assignment]


def pickled(task: Callable[..., Any], *args: Any, **more: Any) -> bytes:
    """Run a task in a worker."""
    return pickle.dumps(task(*args, **more))


class Counting(Executor):
    """An executor that counts the bytes of results."""

    def __init__(self, inner: Executor, n_workers: int) -> None:
        self._max_workers = n_workers
        self._inner = inner
        self.n_bytes = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        outer: Future[Any] = Future()

        def arrived(future: Future[bytes]) -> None:
            try:
                sent = future.result()
                self.n_bytes += len(sent)
                outer.set_result(pickle.loads(sent))
            except Exception as error:  # noqa: BLE001 - for the caller
                outer.set_exception(error)

        self._inner.submit(pickled, fn, *args, **kwargs).add_done_callback(arrived)
        return outer


def write_exposures(folder: Path, number: int) -> list[Path]:
    """Write small exposures that differ in their pixels."""
    first = folder / "template.fits"
    exposure(first, [sky(1, SHAPE)], errors=False)
    whole = first.read_bytes()
    pixels = np.ascontiguousarray(sky(1, SHAPE), ">f4").tobytes()
    begin = whole.index(pixels)
    first.unlink()
    rng = np.random.default_rng(1)
    paths = [folder / f"j{n:06x}q_flt.fits" for n in range(number)]
    for path in paths:
        drawn = rng.normal(100, 5, SHAPE).astype(">f4").tobytes()
        path.write_bytes(whole[:begin] + drawn + whole[begin + len(drawn) :])
    return paths


def run_case(mean: float, kind: str, how: str, n_exposures: int, n_workers: int) -> dict[str, Any]:
    """Run one case in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_exposures(folder, n_exposures)
        slept = sum(seconds(path.name, mean, kind) for path in paths)
        # Forked, because 64 processes that import NumPy anew take gigabytes.
        with ProcessPoolExecutor(
            n_workers, get_context("fork"), slow_down, (mean, kind)
        ) as workers:
            list(workers.map(time.sleep, [0.1] * n_workers))  # starts them
            counting = Counting(workers, n_workers)
            cpu, began = time.process_time(), time.monotonic()
            if how == SINGLY:
                sweep(paths, [4.0], executor=counting)
            else:
                create_masks(paths, output_dir=folder / "m", executor=counting, max_low_excess=100)
            wall = time.monotonic() - began
            cpu = time.process_time() - cpu
    return {
        "busy": 100 * slept / (n_workers * wall),
        "per second": n_exposures / wall,
        "CPU": 1000 * cpu / n_exposures,
        "bytes": counting.n_bytes / n_exposures,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_new_process(case: list[Any]) -> dict[str, Any]:
    """Run one case in a process of its own, whose memory it is."""
    command = [sys.executable, "-m", "tests.benchmarks.clusters", "--case", json.dumps(case)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def simulate(n_exposures: int, n_workers: int, means: list[float]) -> None:
    """Print the table of simulated clusters."""
    print(f"{n_workers} workers, {n_exposures} exposures:\n")
    print(
        "| exposures | time of each | busy, % | exposures/s | CPU, ms | received, bytes | MiB |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for how in (SINGLY, PARTS):
        for mean in means:
            for kind in (EVEN, TAIL):
                found = in_new_process([mean, kind, how, n_exposures, n_workers])
                print(
                    f"| {how} | {mean:g} s, {kind} | {found['busy']:.0f} "
                    f"| {found['per second']:.0f} | {found['CPU']:.1f} | {found['bytes']:.0f} "
                    f"| {found['memory']:.0f} |",
                    flush=True,
                )


def real(folder: Path, paths: list[Path]) -> None:
    """Print the size of what workers return for exposures of real size."""
    print("| settings | one by one, kB | in parts, kB | CPU, ms |\n| --- | --- | --- | --- |")
    cases: dict[str, dict[str, Any]] = {
        "defaults": {},
        "min_exposures 2": {"min_exposures": 2},
        "final_bits 0": {"final_bits": 0},
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as workers:
        for label, options in cases.items():
            counting = Counting(workers, len(paths))  # so many workers that none makes a part
            cpu = time.process_time()
            report = create_masks(paths, output_dir=folder / "m", executor=counting, **options)
            cpu = time.process_time() - cpu
            work = partial(measure, static_sig=4.0, background=Background.CHIP)
            part = make_part(paths, folder, report.settings, work, is_lost=False)
            sizes = [n / len(paths) / 1000 for n in (counting.n_bytes, len(part))]
            print(f"| {label} | {sizes[0]:.0f} | {sizes[1]:.0f} | {1000 * cpu / len(paths):.0f} |")


def race_dask(folder: Path, paths: list[Path], rounds: int) -> None:
    """Print the time with a dask scheduler, as a ratio to that with threads."""
    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    cores = len(os.sched_getaffinity(0))
    program = [sys.executable, "-m", "staticmask_cli", "-q", "--allow-duplicates", *paths]
    with LocalCluster(n_workers=cores, threads_per_worker=1, dashboard_address=None) as at:
        scheduler = ["--scheduler", at.scheduler_address]
        usages = race(
            {
                "threads": [*program, "-o", folder / "threads"],
                "dask": [*program, "-o", folder / "dask", *scheduler],
            },
            rounds,
        )
    made = [[path.read_bytes() for path in sorted((folder / name).iterdir())] for name in usages]
    print(f"{len(paths)} exposures, {cores} cores; masks equal: {made[0] == made[1]}")
    for name, found in usages.items():
        print(f"{name}: {min(one.wall for one in found):.2f} s")
    print(f"dask / threads: {ratio(usages, 'dask', 'threads')}")


def write_large(folder: Path, shape: Shape, number: int, *, distinct: int) -> list[Path]:
    """Write exposures of ACS/WFC, of which some are hard links to others."""
    paths = [folder / f"j{n:06}eq_flt.fits" for n in range(number)]
    for n, path in enumerate(paths):
        if n < distinct:
            make_exposure(CASES["4"], shape, path, n)
        else:
            path.hardlink_to(paths[n % distinct])
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exposures", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.2, 1.0], help="means")
    parser.add_argument("--real", action="store_true", help="measure the size of results")
    parser.add_argument("--dask", action="store_true", help="measure the overhead of dask")
    parser.add_argument("--runs", type=int, default=5, help="rounds with dask")
    parser.add_argument("--shape", type=int, nargs=2, default=[2048, 4096], help="of large chips")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(run_case(*arguments.case)))
    elif arguments.real or arguments.dask:
        with tempfile.TemporaryDirectory() as name:
            folder, shape = Path(name), tuple(arguments.shape)
            if arguments.real:
                real(folder, write_large(folder, shape, 16, distinct=16))
            else:
                paths = write_large(folder, shape, 40, distinct=DISTINCT)
                race_dask(folder, paths, arguments.runs)
    else:
        simulate(arguments.exposures, arguments.workers, arguments.seconds)


if __name__ == "__main__":
    main()
