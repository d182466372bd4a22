"""Render the report page: results in, HTML out; self-contained, without scripts.

The folder ``template`` contains the texts, the markup and the style.
"""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from staticmask_cli.errors import printable
from staticmask_cli.exposures.instruments import flag_names
from staticmask_cli.exposures.urls import without_secrets
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.reports import pictures
from staticmask_cli.reports.exhibits import SKY_COLUMNS, MaskPictures
from staticmask_cli.reports.figures import MINUS, in_words
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.settings import Background
from staticmask_cli.statistics.rounds import CLIP

#: Start of every page, by which older pages are recognized, so that they can be replaced.
BEGINNING = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="generator" content="staticmask '
)

_TEMPLATE = Path(__file__).parent / "template"

#: Represents a missing number.
NOTHING = "\N{EN DASH}"

_DIGITS = 6
_PLAIN = (1e-3, 1e7)  # numbers between these are written without a power of ten
_MOST_NAMES = 6  # of targets or filters
# A mask that fails one of these checks is not usable.
_USELESS = frozenset({"votes", "bad", "threshold_depth"})


class Status(enum.Enum):
    """Whether to trust a mask, from good to bad: a CSS class, and a sign and words beside it."""

    PASSED = ("passed", "\N{CHECK MARK}", "All checks passed")
    UNCHECKED = ("unchecked", "?", "Not all chips checked")
    FAILED = ("failed", "!", "Failed checks")
    USELESS = ("useless", "\N{MULTIPLICATION X}", "Not usable, failed checks")

    def __init__(self, kind: str, sign: str, words: str) -> None:
        self.kind, self.sign, self.words = kind, sign, words


def status(mask: MaskReport) -> Status:
    """Return the status of a mask."""
    if any(check.name in _USELESS for check in mask.quality.failed):
        return Status.USELESS
    if mask.quality.failed:
        return Status.FAILED
    return Status.UNCHECKED if unchecked(mask) else Status.PASSED


def unchecked(mask: MaskReport) -> list[str]:
    """Return the names of the chips to which no check applies."""
    pairs = zip(mask.chips, mask.quality.chips, strict=True)
    return [record.name for record, checks in pairs if record.used and not checks]


def page(report: Report, masks: Sequence[MaskPictures], versions: Mapping[str, str]) -> str:
    """Return the page; equal runs return equal pages.

    Parameters
    ----------
    report : Report
        The run.
    masks : sequence of MaskPictures
        The pictures of each of its masks.
    versions : mapping
        Versions of the programs by which the report was made.

    Returns
    -------
    str
        HTML 5.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - optional

    environment = Environment(
        autoescape=True,
        finalize=_finalized,
        loader=FileSystemLoader(_TEMPLATE),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "count": _count,
        "detector": _detector,
        "embedded": _embedded,
        "expected": _expected,
        "facts": _facts,
        "file_name": lambda path: Path(path).name,
        "number": in_words,
        "percent": lambda part, whole: f"{100 * part / whole:.4f} %",
        "plural": lambda number, noun: f"{_count(number)} {noun}{'' if number == 1 else 's'}",
        "rows": _rows,
    }
    notes = [*report.warnings, *(line for failed in report.failed for line in failed.reasons)]
    settings = without_secrets(report.settings)
    names = [key.name for key in fields(settings) if key.name != "changed"]
    values = {name: _value(getattr(settings, name)) for name in names}
    states = {status(part.mask) for part in masks} | ({Status.FAILED} if notes else set())
    return environment.get_template("page.html.jinja").render(
        BEGINNING=BEGINNING,
        CLIP=CLIP,
        NOTHING=NOTHING,
        changed=[(name, values[name]) for name in names if name in settings.changed],
        flag_names=flag_names,
        notes=list(dict.fromkeys(notes)),
        parts=masks,
        pictures=pictures,
        report=report,
        sky_columns=SKY_COLUMNS[settings.background],
        status=status,
        unchanged=[(name, values[name]) for name in names if name not in settings.changed],
        unchecked=[name for part in masks for name in unchecked(part.mask)],
        versions=versions,
        votes=settings.min_exposures,
        worst=max(states, key=list(Status).index).kind,
    )


def _finalized(value: Any) -> Any:
    """Return a value for the template, without control characters; it is escaped later."""
    return value if hasattr(value, "__html__") else printable(value)


def _count(number: int) -> str:
    return f"{number:,}"


def _expected(number: float) -> str:
    """Return an expected number of pixels with the digits that matter."""
    if number >= 10:  # noqa: PLR2004 - two digits are enough below
        return _count(round(number))
    return "less than 0.01" if 0 < number < 0.01 else f"{number:.2g}"  # noqa: PLR2004


def decimals(values: Sequence[float]) -> list[str]:
    """Return a column of numbers with the same number of decimals, so that they align."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest and not _PLAIN[0] <= largest < _PLAIN[1]:
        kind = f".{_DIGITS - 1}e"
    else:
        whole = math.floor(math.log10(largest)) + 1 if largest else 1
        kind = f".{min(_DIGITS, max(0, _DIGITS - whole))}f"
    return [
        format(value, kind).replace("-", MINUS) if math.isfinite(value) else NOTHING
        for value in values
    ]


def _embedded(png: bytes) -> dict[str, Any]:
    """Return a PNG as a URL, with its size, which is at a fixed place in its header."""
    url = "data:image/png;base64," + base64.b64encode(png).decode()
    return {
        "url": url,
        "width": int.from_bytes(png[16:20]),
        "height": int.from_bytes(png[20:24]),
    }


def _rows(
    part: MaskPictures, background: Background
) -> Iterable[tuple[ChipRecord, tuple[str, ...], list[str]]]:
    """Yield each record with its failed checks and its numbers, for the table."""
    columns = [
        decimals([getattr(record, name) for record, _ in part.records])
        for name in (*SKY_COLUMNS[background].values(), "median", "noise")
    ]
    for row, (record, checks) in enumerate(part.records):
        time = record.exposure_time
        seconds = in_words(time, _DIGITS) if math.isfinite(time) else NOTHING
        yield record, checks, [seconds, *(column[row] for column in columns)]


def _detector(mask: MaskReport) -> str:
    """Return detector and chip as users name them, and the size."""
    identity = mask.identity
    words = identity.instrument + (f"/{identity.detector}" if identity.detector else "")
    if identity.ccdchip is not None:
        words += f" SCI,{identity.number} (CCDCHIP {identity.ccdchip})"
    words += f", {identity.columns} \N{MULTIPLICATION SIGN} {identity.rows} pixels"
    if (identity.x0, identity.y0) != (0, 0):
        words += f" from x {identity.x0 + 1}, y {identity.y0 + 1} of the detector"
    if (identity.xbin, identity.ybin) != (1, 1):
        words += f", binned {identity.xbin} \N{MULTIPLICATION SIGN} {identity.ybin}"
    return words


def _facts(mask: MaskReport) -> dict[str, str]:
    """Return label and value of the properties of the exposures in a mask."""
    used = [record for record in mask.chips if record.used]
    found = {
        "Target": _names(record.target for record in used),
        "Filter": _names(record.filter for record in used),
        "Observed": _range(sorted(record.date_obs[:10] for record in used if record.date_obs)),
        "Exposure time": _times(used),
        "Unit of the pixels": _names(record.unit for record in used),
    }
    return {label: value for label, value in found.items() if value}


def _names(values: Iterable[str]) -> str:
    names = sorted({value for value in values if value})
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _range(values: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys([values[0], values[-1]])) if values else ""


def _times(records: Iterable[ChipRecord]) -> str:
    times = sorted(r.exposure_time for r in records if math.isfinite(r.exposure_time))
    return f"{_range([f'{seconds:.6g}' for seconds in times])} s" if times else ""


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
