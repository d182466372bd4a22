"""What can be asked in place of a run: what each question takes, and its answer in lines."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, SupportsIndex

from staticmask_cli.errors import CHECKS_FAILED, ConfigError
from staticmask_cli.exposures.inputs import are_masks
from staticmask_cli.settings import Settings

if TYPE_CHECKING:
    from staticmask_cli.masking.exposure_loop import Progress
    from staticmask_cli.reports.report import RunRecord

# What a look at the exposures depends on.
_LOOK = frozenset(
    {
        *("input", "group", "final_bits", "prefix", "jobs", "include_empty", "keep_going"),
        *("any_product", "min_exposures", "allow_duplicates"),
    }
)
#: By question, the options that mean something to it: another one is a slip.
TAKES: dict[str, frozenset[str]] = {
    "sweep": _LOOK,
    "explain": _LOOK | {"static_sig"},
    "compare": _LOOK | {"static_sig", "output_dir"},
    "recount": frozenset(
        {
            *("input", "min_exposures", "jobs", "lock_timeout", "strict"),
            *(
                "max_low_excess",
                "max_mode_offset",
                "max_rms_ratio",
                "max_clustered",
                "max_single_exposure",
            ),
            *("max_threshold_depth", "max_bad"),
        }
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, with what was asked in particular.

    Attributes
    ----------
    name : str
        ``sweep``, ``explain``, ``compare`` or ``recount``.
    sigmas : tuple of float
        For a sweep.
    places : tuple of tuple
        For an explanation: columns and rows, from 1.
    old : str
        For a comparison: the older mask, or a folder of them.
    """

    name: str
    sigmas: tuple[float, ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    old: str = ""


def asked(options: Mapping[str, Any], given: Collection[str]) -> Question | None:
    """Return the question that a user asks on the command line, if any.

    Parameters
    ----------
    options : mapping
        The command's options.
    given : collection of str
        Configuration keys that were given as options.

    Raises
    ------
    ConfigError
        If more than one is asked, one is malformed, or goes with options that
        mean nothing to it.
    """
    names = [name for name in TAKES if options[name] or options[name] == ""]
    if not names:
        return None
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(f'--{n}' for n in names)}: ask one thing at a time")
    (name,) = names
    takes = TAKES[name]
    if name == "compare" and options["inputs"] and are_masks(options["inputs"]):
        takes = frozenset({"input"})  # they are as they are
    alien = [f"--{key.replace('_', '-')}" for key in given if key not in takes]
    alien += ["--dry-run"] * bool(options["dry_run"])
    if alien:
        raise ConfigError(f"--{name} does not go with {', '.join(alien)}")
    if name == "recount" and not {"input", "min_exposures"}.issubset(given):
        raise ConfigError("--recount needs masks and --min-exposures")
    if name == "compare" and ("\0" in options[name] or not options[name].strip()):
        raise ConfigError("--compare is empty; give a mask, or a folder of masks")
    return Question(
        name=name,
        sigmas=_sigmas(options[name]) if name == "sweep" else (),
        places=tuple(map(_place, options[name])) if name == "explain" else (),
        old=options[name] if name == "compare" else "",
    )


def _sigmas(text: str) -> tuple[float, ...]:
    try:
        return checked_sigmas(map(float, text.split(",")))
    except ValueError:  # a ConfigError, too
        raise ConfigError(
            f"--sweep: '{text}' is not a list of numbers > 0, such as 3,3.5,4"
        ) from None


def checked_sigmas(sigmas: Iterable[float]) -> tuple[float, ...]:
    """Return the sigmas of a sweep, each once.

    Raises
    ------
    ConfigError
        If there is none, or one is not a number > 0.
    """
    found = tuple(sigmas)
    is_good = (isinstance(s, Real) and math.isfinite(s) and s > 0 for s in found)
    if not found or not all(is_good):
        raise ConfigError("sigmas must be numbers > 0, at least one")
    return tuple(map(float, dict.fromkeys(found)))


def _place(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", text, re.ASCII)
    try:
        return checked_place(int(match[1]), int(match[2])) if match else checked_place(0, 0)
    except ConfigError:
        raise ConfigError(
            f"--explain: '{text}' is not a pixel's column and row, from 1, such as 17,5"
        ) from None


def checked_place(x: int, y: int) -> tuple[int, int]:
    """Return a pixel's column and row.

    Raises
    ------
    ConfigError
        If they are not whole numbers from 1 on.
    """
    if not all(isinstance(n, SupportsIndex) and operator.index(n) >= 1 for n in (x, y)):
        raise ConfigError(f"x={x!r}, y={y!r} are not a pixel's column and row, counted from 1")
    return operator.index(x), operator.index(y)


def as_asked(settings: Settings) -> Settings:
    """Return settings by which a question is answered: those that make no sense for it are off."""
    return replace(settings, static=True, update=False, verify=False, report=None, preview=None)


def answer(
    question: Question,
    settings: Settings,
    run_record: RunRecord,
    *,
    verbose: bool,
    progress: Progress | None,
) -> tuple[list[str], int]:
    """Answer a question.

    Parameters
    ----------
    question : Question
    settings : Settings
        As for a run.
    run_record : RunRecord
        Learns of masks that were written.
    verbose : bool
        Whether all is wanted.
    progress : callable or None
        Told after each exposure how many are done.

    Returns
    -------
    lines : list of str
        For standard output.
    status : int
        Exit status: as diff's after a comparison.
    """
    # Not above: what is asked must be understood before numpy is waited for.
    settings = as_asked(settings)
    run: Callable[[], tuple[list[str], int]] = {
        "sweep": lambda: _sweep(question, settings, run_record, progress),
        "explain": lambda: _explain(question, settings, run_record, progress),
        "compare": lambda: _compare(question, settings, run_record, progress, verbose=verbose),
        "recount": lambda: _recount(settings, run_record),
    }[question.name]
    return run()


def _sweep(
    question: Question, settings: Settings, run_record: RunRecord, progress: Progress | None
) -> tuple[list[str], int]:
    from staticmask_cli.masking.sweep import SWEEP_HEADING, sweep  # noqa: PLC0415

    rows = sweep(settings, question.sigmas, run_record=run_record, progress=progress)
    run_record.answer = [row.document() for row in rows]
    return [SWEEP_HEADING, *(row.line() for row in rows)], 0


def _explain(
    question: Question, settings: Settings, run_record: RunRecord, progress: Progress | None
) -> tuple[list[str], int]:
    from staticmask_cli.masking.explain import explain  # noqa: PLC0415

    explained = explain(settings, question.places, run_record=run_record, progress=progress)
    run_record.answer = [explanation.document() for explanation in explained]
    return [line for explanation in explained for line in explanation.lines()], 0


def _compare(
    question: Question,
    settings: Settings,
    run_record: RunRecord,
    progress: Progress | None,
    *,
    verbose: bool,
) -> tuple[list[str], int]:
    from staticmask_cli.masking.compare import compare  # noqa: PLC0415

    differences = compare(settings, question.old, run_record=run_record, progress=progress)
    run_record.answer = [difference.document() for difference in differences]
    lines = [line for d in differences for line in d.lines(every_column=verbose)]
    return lines, 0 if all(d.is_same for d in differences) else 1


def _recount(settings: Settings, run_record: RunRecord) -> tuple[list[str], int]:
    from staticmask_cli.masking.make import log_failed_checks  # noqa: PLC0415
    from staticmask_cli.masking.recount import recount  # noqa: PLC0415

    recount(settings, run_record=run_record)
    checks = [check for mask in run_record.masks for check in mask.quality.failed]
    log_failed_checks(checks, settings)
    status = CHECKS_FAILED if checks and settings.strict else 0
    return [mask.line() for mask in run_record.masks], status
