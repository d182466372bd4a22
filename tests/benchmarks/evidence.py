"""Evidence for the limits of the quality checks and the advice on votes: Markdown tables.

    python -m tests.benchmarks.evidence [--real FILE ...] [--seeds 4] [--exposures 4 8 16]

creates the synthetic fields of fields.py in a temporary folder, makes masks of
them, and prints how often each quality check fails, with the range of the values
that it compares with its limit; then how many of the known defects a mask
contains, and how many false pixels.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from staticmask_cli import create_masks
from staticmask_cli.reports.report import MaskReport
from staticmask_cli.settings import MinExposures
from staticmask_cli.statistics.chance import bad_by_chance
from tests.support import fields
from tests.support.makers import REAL

Shape = tuple[int, int]

SHAPES = ((1024, 1024), (256, 256))  # most detectors; NICMOS and small subarrays
SIGMA = 4.0

# Rows of the table: kind of field, and options. Apart from detector defects, the
# first three are flawless.
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "clean": ("clean", {}),
    "defective": ("defective", {}),
    "faint": ("defective", {"sky": 2.0}),
    "crowded": ("crowded", {}),
    "nebulous": ("nebulous", {}),
    "dark": ("dark", {}),
    "shadow": ("shadow", {}),
}
# Columns: subject and name of the check.
CHECKS = (
    ("chip", "low_excess"),
    ("chip", "mode_offset"),
    ("chip", "rms_ratio"),
    ("chip", "clustered"),
    ("mask", "clustered"),
    ("mask", "single_exposure"),
    ("mask", "bad"),
    ("mask", "threshold_depth"),
)
VOTES = (1, 2, 0.5)


@dataclass(frozen=True)
class Outcome:
    """The values of one check on several chips or masks, and how many failed."""

    values: tuple[float, ...] = ()
    failed: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.values + other.values, self.failed + other.failed)

    def __str__(self) -> str:
        if not self.values:
            return "-"
        percent = 100 * self.failed / len(self.values)
        return f"{percent:.0f} % ({_short(min(self.values))} to {_short(max(self.values))})"


Outcomes = dict[tuple[str, str], Outcome]


@dataclass(frozen=True)
class Found:
    """How many defects of a field a mask contains, and false pixels."""

    defects: int = 0
    hits: int = 0
    false: int = 0
    by_chance: float = 0.0
    chips: int = 0
    pixels: int = 0

    @property
    def recall(self) -> float:
        """The share of the defects that a mask contains."""
        return self.hits / self.defects

    @property
    def false_per_million(self) -> float:
        """False pixels in a million pixels."""
        return 1e6 * self.false / self.pixels

    def __add__(self, other: Found) -> Found:
        return Found(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def _short(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00") if abs(value) < 10 else f"{value:.0f}"


def checked(paths: Iterable[Path], sigma: float, **settings: Any) -> Outcomes:
    """Make masks and return the outcomes of their quality checks."""
    with tempfile.TemporaryDirectory() as folder:
        report = create_masks(paths, output_dir=folder, jobs=1, static_sig=sigma, **settings)
    total: Outcomes = {}
    for mask in report.masks:
        chips = [("chip", v) for of_chip in mask.quality.chips for v in of_chip]
        for subject, check in [*chips, *(("mask", v) for v in mask.quality.mask)]:
            key = subject, check.name
            total[key] = total.get(key, Outcome()) + Outcome((check.value,), int(check.failed))
    return total


def checked_field(job: tuple[str, Shape, int, int, float]) -> Outcomes:
    """Create one synthetic field and check its mask."""
    logging.disable()
    name, shape, seed, count, sigma = job
    kind, options = FIELDS[name]
    with tempfile.TemporaryDirectory() as folder:
        made = fields.field(kind, seed, count, shape, **options)
        return checked(made.write(Path(folder)), sigma)


def found_in_field(
    job: tuple[str, tuple[float, float], Shape, int, int],
) -> dict[float, Found]:
    """Create one field with defects, make masks, and return the result for each vote."""
    logging.disable()
    kind, depth, shape, seed, count = job
    made = fields.field(kind, seed, count, shape, depth=depth)
    with tempfile.TemporaryDirectory() as folder:
        paths = made.write(Path(folder))
        make = partial(create_masks, paths, output_dir=folder, jobs=1)
        return {n: _compared(make(min_exposures=n).masks[0], made, n) for n in VOTES}


def _compared(mask: MaskReport, made: fields.Field, votes: float) -> Found:
    is_bad = mask.read() == 0
    good = int((~made.defects).sum())
    return Found(
        defects=int(made.defects.sum()),
        hits=int((is_bad & made.defects).sum()),
        false=int((is_bad & ~made.defects).sum()),
        by_chance=bad_by_chance({len(made.exposures): good}, SIGMA, MinExposures.of(votes)),
        chips=1,
        pixels=is_bad.size,
    )


def summed(maps: Iterable[dict[Any, Any]]) -> dict[Any, Any]:
    """Add up the results of several fields."""
    total: dict[Any, Any] = {}
    for one in maps:
        for key, value in one.items():
            total[key] = total[key] + value if key in total else value
    return total


def in_order(
    work: Callable[[Any], Any], jobs: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[Any]:
    """Do the jobs in processes; threads would wait for each other."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, jobs)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    head = list(head)
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |")


def quality_checks(
    shape: Shape, sigma: float, seeds: int, count: int, real: list[Path], processes: int
) -> None:
    """Print how often the quality checks fail."""
    jobs = [(name, shape, seed, count, sigma) for name in FIELDS for seed in range(seeds)]
    results = zip(jobs, in_order(checked_field, jobs, processes), strict=True)
    found = {
        name: summed(quality for _, quality in of_one)
        for name, of_one in groupby(results, key=lambda pair: pair[0][0])
    }
    found |= {f"real: {_label(path)}": checked([path], sigma) for path in real}
    print(f"\n{seeds} fields of each kind, {count} exposures of {shape[0]} x {shape[1]}, ", end="")
    print(f"static_sig {sigma:g}\n")
    table(
        ["field", *(f"{subject}: {name}" for subject, name in CHECKS)],
        ([name, *(str(row.get(key, "-")) for key in CHECKS)] for name, row in found.items()),
    )


def _label(path: Path) -> str:
    identities = {mask.identity for mask in create_masks(path, dry_run=True).masks}
    return ", ".join(f"{i.label} {i.rows} x {i.columns}" for i in identities)


def measured(real: list[Path]) -> None:
    """Print the statistics of real exposures, which do not depend on sigma."""
    rows = []
    for path in real:
        with tempfile.TemporaryDirectory() as folder:
            masks = create_masks(path, output_dir=folder, static_sig=SIGMA).masks
        for record in (record for mask in masks for record in mask.chips):
            numbers = (record.mode, record.median, record.noise, record.rms, record.lowest)
            ratios = (record.mode - record.median, record.rms)
            cells = [*numbers, *(number / record.noise for number in ratios)]
            name = f"{_label(path)}, SCI,{record.extver}"
            rows.append([name, *(f"{cell:.4g}" for cell in cells)])
    print("\nThe real exposures, in their units\n")
    table(
        [
            *("exposure", "mode", "median", "noise", "rms", "lowest pixel of a sample"),
            *("(mode - median) / noise", "rms / noise"),
        ],
        rows,
    )


def votes(shape: Shape, seeds: int, counts: list[int], processes: int) -> None:
    """Print what masks contain with different numbers of votes."""
    trials = {
        "deep": ("defective", fields.DEEP),
        "shallow": ("defective", fields.SHALLOW),
        "shadow": ("shadow", fields.DEEP),
    }
    jobs = [(*t, shape, seed, n) for n in counts for t in trials.values() for seed in range(seeds)]
    results = list(zip(jobs, in_order(found_in_field, jobs, processes), strict=True))
    rows = []
    for count in counts:
        of = {
            name: summed(r for job, r in results if job[:2] == trial and job[-1] == count)
            for name, trial in trials.items()
        }
        for n in VOTES:
            deep, shallow, shadow = (of[name][n] for name in trials)
            plain = deep + shallow
            rows.append(
                [
                    f"{count}",
                    f"{n:g}",
                    *(f"{100 * part.recall:.2f} %" for part in (deep, shallow)),
                    f"{plain.false / plain.chips:.1f}",
                    f"{plain.false_per_million:.1f}",
                    f"{plain.by_chance / plain.chips:.1f}",
                    f"{shadow.false / shadow.chips:.0f}",
                ]
            )
    print(f"\n{seeds} fields of each kind, exposures of {shape[0]} x {shape[1]}, ", end="")
    print(f"static_sig {SIGMA:g}; a defect is deep at {_range(fields.DEEP)} times the noise below")
    print(f"the sky, shallow at {_range(fields.SHALLOW)}\n")
    table(
        [
            "exposures",
            "min_exposures",
            "deep defects found",
            "shallow ones",
            "false, a chip",
            "a million pixels",
            "expected, a chip",
            "false with a shadow in one exposure",
        ],
        rows,
    )


def _range(depth: tuple[float, float]) -> str:
    return f"{depth[0]:g} to {depth[1]:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="fields of each kind")
    parser.add_argument("--shape", type=int, nargs=2, action="append", help="of a chip; repeatable")
    parser.add_argument("--exposures", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument(
        "--sigma", type=float, nargs="+", default=[SIGMA], help="for the quality checks"
    )
    parser.add_argument("--real", type=Path, nargs="+", default=[], help="further real exposures")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    logging.disable()  # failed checks are counted, not logged
    shapes = [tuple(shape) for shape in arguments.shape or SHAPES]
    seeds, jobs = arguments.seeds, arguments.jobs
    print("Quality checks: share of failures, and the range of the values")
    for shape in shapes:
        for sigma in arguments.sigma:
            real = [REAL, *arguments.real] if shape == shapes[0] else []
            quality_checks(shape, sigma, seeds, arguments.exposures[0], real, jobs)
    measured([REAL, *arguments.real])
    print("\nVotes: defects found, and false pixels")
    votes(shapes[0], seeds, arguments.exposures, jobs)


if __name__ == "__main__":
    main()
