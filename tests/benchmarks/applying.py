"""Time of `staticmask apply`, as a ratio to copying the same exposures with cp and sync.

    python -m tests.benchmarks.applying [--exposures 1 4 16] [--runs 5]

creates ACS/WFC exposures of 168 MB in a temporary folder, with the masks of their
chips, and runs both alternately, with the files in the page cache. The ratio is the
median of the ratios of each round. A command includes the start of Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.benchmark import CASES, DISTINCT, make_exposure, race, ratio

COPY, APPLY = "cp and sync", "staticmask apply"
SHELL = 'rm -rf "$0"; mkdir "$0"; '


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exposures", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--shape", type=int, nargs=2, default=[2048, 4096], help="of chips")
    arguments = parser.parse_args()
    program = [sys.executable, "-m", "staticmask_cli"]
    print("| exposures | cp and sync, s | apply, s | ratio |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"j{n:06}eq_flt.fits" for n in range(max(arguments.exposures))]
        for n, path in enumerate(paths):
            if n < DISTINCT:
                make_exposure(CASES["4"], tuple(arguments.shape), path, n)
            else:
                path.hardlink_to(paths[n % DISTINCT])
        masks, copies, flagged = (folder / name for name in ("masks", "copies", "flagged"))
        subprocess.run([*program, "-q", "-o", masks, *paths[:DISTINCT]], check=True)
        for count in arguments.exposures:
            some = paths[:count]
            to = [word for path in some for word in ("--to", path)]
            usages = race(
                {
                    COPY: ["sh", "-c", SHELL + 'cp "$@" "$0"; sync', copies, *some],
                    APPLY: [
                        *("sh", "-c", 'rm -rf "$0"; exec "$@"', flagged),
                        *(*program, "apply", masks, *to, "-o", flagged),
                    ],
                },
                arguments.runs,
            )
            fastest = [f"{min(u.wall for u in usages[name]):.2f}" for name in (COPY, APPLY)]
            print(
                "|", " | ".join([str(count), *fastest, ratio(usages, APPLY, COPY)]), "|", flush=True
            )


if __name__ == "__main__":
    main()
