"""Parts of very many exposures: workers make their masks, and only these masks travel.

So what reaches this process grows with the masks, not with the exposures. Masks of disjoint
exposures add up to the mask of all in any order, as those that `combine` is given.
"""

from __future__ import annotations

import pickle
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from staticmask_cli.exposures.chips import Chip
from staticmask_cli.exposures.opening import FilePath
from staticmask_cli.exposures.shards import exposure_name
from staticmask_cli.masking.accumulated import Accumulation
from staticmask_cli.masking.engines import Engine
from staticmask_cli.masking.exposure_loop import ExposureLoop, Progress, check_folders
from staticmask_cli.masking.measure import Measured
from staticmask_cli.masks.duplicates import marks
from staticmask_cli.masks.records import ChipRecord, merged
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.reports.report import ExposureReport, RunRecord
from staticmask_cli.settings import Settings

# The exposures that are left are divided into this many parts for each worker: the parts
# become smaller, so that no worker waits long for the last ones.
_PER_WORKER = 4
# The largest number of exposures in a part, which is repeated if its worker is lost.
_LARGEST = 256

Work = Callable[[Chip], Measured]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """What a worker returns for a part; attributes as of `Accumulation` and `ExposureLoop`."""

    masks: list[StaticMask]
    failures: list[ChipRecord]
    exposures: list[ExposureReport]
    warnings: list[tuple[str, str | None]]
    problems: tuple[str, ...]
    reasons: list[str]
    absent: list[tuple[FilePath, str]]


@dataclass(slots=True)
class _PartRecord(RunRecord):
    """A run record whose warnings are not logged here, but by the process of the user."""

    kinds: dict[str, str | None] = field(default_factory=dict)

    def warn(self, warning: str, kind: str | None = None) -> None:
        """Record a warning."""
        self.kinds.setdefault(warning, kind)


class _ThisThread(Executor):
    """Runs each task when it is submitted."""

    _max_workers = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def are_worthwhile(n_exposures: int, engine: Engine) -> bool:
    """Return whether exposures are so many that workers should make masks of parts of them."""
    return not engine.is_local and n_exposures > engine.n_open


def make_part(
    paths: Sequence[FilePath], folder: Path, settings: Settings, work: Work, *, is_lost: bool
) -> bytes:
    """Make the masks of a part, in a worker.

    Parameters
    ----------
    paths : sequence of Path or Url
        The exposures of the part.
    folder : Path
        The user's working folder.
    settings : Settings
        The settings of the run.
    work : callable
        Reads a chip.
    is_lost : bool
        As for `ExposureLoop`.

    Returns
    -------
    bytes
        A `PartResult`, pickled and compressed: most bits of masks are zero.
    """
    record = _PartRecord()
    engine = Engine(_ThisThread(), is_local=True)
    loop = ExposureLoop(settings, work, engine, record, folder=folder, is_lost=is_lost)
    made = Accumulation(settings)
    made.add(loop.run(paths, {}))
    result = PartResult(
        masks=made.masks(),
        failures=made.failures,
        exposures=record.exposures,
        warnings=[*record.kinds.items()],
        problems=loop.problems,
        reasons=loop.reasons,
        absent=loop.absent,
    )
    return zlib.compress(pickle.dumps(result), 1)


def add_in_parts(
    accumulation: Accumulation,
    loop: ExposureLoop[Measured],
    engine: Engine,
    paths: Sequence[FilePath],
    settings: Settings,
    work: Work,
    run_record: RunRecord,
    progress: Progress | None,
) -> None:
    """Have workers make the masks of parts of the exposures, and add them up.

    Exposures that may be copies or other calibrations of some in other parts are read one
    by one at the end, by `loop`.

    Parameters
    ----------
    accumulation : Accumulation
        Receives the masks.
    loop : ExposureLoop
        The run's loop.
    engine : Engine
        Makes the parts.
    paths : sequence of Path or Url
        The exposures.
    settings, work, run_record, progress
        As for `ExposureLoop` and its method ``run``.

    Raises
    ------
    StaticMaskError
        If the engine fails.
    """
    results: dict[int, PartResult] = {}
    seen: set[int] = set()
    again: list[FilePath] = []
    n_done = 0
    for number, part, result in _made(engine, paths, settings, work, is_lost=loop.is_lost):
        check_folders(result.absent)
        found = {
            hash((mask.identity, mark))
            for mask in result.masks
            for record in mask.records
            for mark in marks(record)
        }
        if not seen.isdisjoint(found):
            again += part
            continue
        seen |= found
        accumulation.add_part(result.masks, result.failures)
        results[number] = replace(result, masks=[])
        n_done += len(part)
        if progress:
            progress(n_done, len(paths))
    for _, result in sorted(results.items()):
        loop.add_part(result.exposures, result.problems, result.reasons)
        for warning, kind in result.warnings:
            run_record.warn(warning, kind)
    if again:
        for identity, of_one in accumulation.found.items():
            allow = settings.allow_duplicates
            loop.register(identity, merged(of_one.parts, allow_duplicates=allow))
        places = {path: place for place, path in enumerate(paths)}
        again.sort(key=places.__getitem__)
        of_all = progress and (lambda n, _: progress(n_done + n, len(paths)))
        accumulation.add(loop.run(again, {}, of_all))


def _made(
    engine: Engine, paths: Sequence[FilePath], settings: Settings, work: Work, *, is_lost: bool
) -> Iterator[tuple[int, list[FilePath], PartResult]]:
    """Yield number, exposures and result of each part as soon as it is made."""
    folder = Path("/") if all(path == path.absolute() for path in paths) else Path.cwd()
    settings = replace(settings, input=())  # may list very many files
    parts = enumerate(_divided(paths, engine))
    done: SimpleQueue[Future[bytes]] = SimpleQueue()
    given: dict[Future[bytes], tuple[int, list[FilePath]]] = {}
    try:
        while True:
            while len(given) < engine.n_busy and (one := next(parts, None)) is not None:
                task = partial(make_part, one[1], folder, settings, work, is_lost=is_lost)
                future = engine.submit(one[1][0], task)
                given[future] = one
                future.add_done_callback(done.put)
            if not given:
                return
            future = engine.wait(done)
            number, part = given.pop(future)
            made = zlib.decompress(engine.result(part[0], future))
            result: PartResult = pickle.loads(made)  # noqa: S301 - of our own worker
            is_lost = is_lost or (bool(result.problems) and not settings.keep_going)
            yield number, part, result
            del made, result, future
    finally:
        for future in given:
            future.cancel()


def _divided(paths: Iterable[FilePath], engine: Engine) -> Iterator[list[FilePath]]:
    """Yield parts; all calibrations of an exposure are in one."""
    exposures: dict[str, list[FilePath]] = {}
    for path in paths:
        exposures.setdefault(exposure_name(path), []).append(path)
    left = deque(exposures.values())
    while left:
        size = min(_LARGEST, len(left) // (_PER_WORKER * engine.n_workers))
        yield [path for _ in range(max(1, size)) for path in left.popleft()]
