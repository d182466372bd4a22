"""The report's page: results in, HTML out; whole in one text, without scripts or links outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from staticmask_cli.exposures.instruments import flag_names
from staticmask_cli.masks.quality import failed
from staticmask_cli.reports import captions
from staticmask_cli.reports.exhibits import Exhibit
from staticmask_cli.reports.markup import NOTHING, Cell, decimals, image, table, text
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.reports.stylesheet import STYLE

#: How every page begins: by this it is known again, and may be replaced.
BEGINNING = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="generator" content="staticmask '
)


def page(
    report: Report, parts: Sequence[tuple[MaskReport, Exhibit | str]], versions: Mapping[str, str]
) -> str:
    """Return the page; equal runs give equal pages.

    Parameters
    ----------
    report : Report
        The run.
    parts : sequence of tuple
        Each of its masks with its pictures, or why there are none.
    versions : mapping
        Of the programs that took part.

    Returns
    -------
    str
        HTML 5.
    """
    names = [Path(mask.path).name for mask, _ in parts]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    body = [
        "<header>",
        "<h1>Static bad-pixel masks</h1>",
        *(f"<p>{text(line)}</p>" for line in captions.introduction(report)),
        "</header>",
        "<main>",
        _checks(report),
        _notes(report),
        _masks(report),
        *(
            _mask(number, mask, shown, reads_flags=report.settings.final_bits is not None)
            for number, (mask, shown) in enumerate(parts, start=1)
        ),
        _settings(report),
        _pairs("Versions", "Program", "Version", versions),
        "</main>",
    ]
    return "\n".join(
        [
            f'{BEGINNING}{text(report.version)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{text(names[0] + more)}: staticmask</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *filter(None, body),
            "</body>",
            "</html>",
            "",
        ]
    )


def _checks(report: Report) -> str:
    found = report.failed_checks
    unjudged = _unchecked(report)
    if not found and unjudged:
        return (
            '<section class="checks"><h2>Nothing speaks against what could be judged</h2>\n'
            f"<p>Not judged, for want of pixels or of a sky:</p>\n{_list(unjudged)}</section>"
        )
    if not found:
        return (
            '<section class="checks"><h2>Nothing speaks against these masks</h2>\n'
            "<p>No number that is held against a limit lies beyond it, neither of a mask nor of an "
            "exposure.</p></section>"
        )
    reasons = "reason" if len(found) == 1 else "reasons"
    return (
        f'<section class="checks failed"><h2>{len(found)} {reasons} for doubt</h2>\n'
        f"{_list(found)}</section>"
    )


def _unchecked(report: Report) -> list[str]:
    """Return the names of chips that no check was given of."""
    return [
        f"{record.file} SCI,{record.extver}"
        for mask in report.masks
        for record, checks in zip(mask.chips, mask.quality.chips, strict=True)
        if record.used and not checks
    ]


def _notes(report: Report) -> str:
    notes = [*report.warnings, *(line for failed in report.failed for line in failed.reasons)]
    if not notes:
        return ""
    return f"<section><h2>Warnings</h2>\n{_list(dict.fromkeys(notes))}</section>"


def _list(lines: Any) -> str:
    return "<ul>\n" + "".join(f"<li>{text(line)}</li>\n" for line in lines) + "</ul>"


def _masks(report: Report) -> str:
    rows = []
    for number, mask in enumerate(report.masks, start=1):
        percent = NOTHING if mask.bad is None else f"{100 * mask.bad / mask.total:.4f}"
        link = f'<a href="#mask-{number}">{text(mask.path)}</a>'
        numbers = (mask.bad, mask.total, percent, mask.exposures)
        rows.append([("name", link), *(("number", str(n)) for n in numbers)])
    heads = ("Mask", "Bad pixels", "Pixels", "Percent", "Exposures")
    return f"<section><h2>Masks</h2>\n{table('Masks', heads, rows)}</section>"


def _mask(number: int, mask: MaskReport, shown: Exhibit | str, *, reads_flags: bool) -> str:
    what = text(captions.chip(mask.identity))
    if isinstance(shown, str):
        pictures = f'<p class="missing">There is no picture: {text(shown)}.</p>'
    else:
        pictures = _pictures(mask, shown)
    return "\n".join(
        [
            f'<section id="mask-{number}">',
            f"<h2>{text(Path(mask.path).name)}</h2>",
            f'<p class="faint">{what}</p>',
            pictures,
            _exposures(mask, shown, reads_flags=reads_flags),
            "" if isinstance(shown, str) else _flags(mask, shown),
            "</section>",
        ]
    )


def _pictures(mask: MaskReport, shown: Exhibit) -> str:
    parts = [
        '<figure class="overview">',
        image((shown.overview,), captions.overview_alt(mask, shown)),
        f"<figcaption>{_keyed(captions.overview(mask, shown))}</figcaption>",
        "</figure>",
        '<div class="pair">',
        "<figure>",
        "<h3>Where most bad pixels are</h3>",
        image(shown.zoom, captions.zoom_alt(mask, shown)),
        f"<figcaption>{_keyed(captions.zoom(mask, shown))}</figcaption>",
        "</figure>",
        "<figure>",
        "<h3>Pixel values</h3>",
    ]
    if shown.counts is None:
        why = text(shown.record.reason)
        parts.append(f'<p class="missing">There is no histogram; {why}.</p>')
    else:
        parts += [
            image(shown.histogram, captions.histogram_alt(shown, shown.counts)),
            f"<figcaption>{_keyed(captions.histogram(shown, shown.counts))}</figcaption>",
        ]
    return "\n".join([*parts, "</figure>", "</div>"])


def _keyed(caption: Sequence[tuple[str, str]]) -> str:
    """Return sentences, each in a line, behind a spot of the colour that it tells of, if any."""
    spots = (f'<i class="key {key}"></i>&nbsp;' if key else "" for key, _ in caption)
    lines = (text(line) for _, line in caption)
    return "".join(f"<span>{a}{b}</span>" for a, b in zip(spots, lines, strict=True))


def _exposures(mask: MaskReport, shown: Exhibit | str, *, reads_flags: bool) -> str:
    records = mask.chips
    judged = mask.quality.chips or ((),) * len(records)
    pictured = None if isinstance(shown, str) else shown.record.in_table().key
    columns = (
        decimals([getattr(record, name) for record in records])
        for name in ("mode", "rms", "threshold", "median", "noise")
    )
    rows: list[list[Cell]] = []
    marked = set()
    numbered = zip(*columns, strict=True)
    for record, checks, numbers in zip(records, judged, numbered, strict=True):
        name = text(record.file)
        if record.key == pictured:
            marked.add(len(rows))
            name += " (shown above)"
        mode, rms, threshold, median, noise = numbers
        low = record.n_low if record.nbins else NOTHING
        flagged = record.n_flagged if record.nbins and reads_flags else NOTHING
        used = "yes" if record.used else "no"
        if record.reason:
            used += f": {text(record.reason)}"
        spoken = "; ".join(text(check.short()) for check in failed(checks))
        values = (record.extver, mode, rms, threshold, low, flagged, median, noise)
        cells = [("name", name), *(("number", str(value)) for value in values)]
        rows.append([*cells, ("text", used), ("text", spoken or "none")])
    measured = ("Mode", "Rms", "Threshold", "Low pixels", "DQ pixels", "Median", "Noise")
    heads = ("File", "SCI", *measured, "Used", "Verdicts against")
    label = f"Exposures of {Path(mask.path).name}"
    return f"<h3>Exposures</h3>\n{table(label, heads, rows, marked)}"


def _flags(mask: MaskReport, shown: Exhibit) -> str:
    if shown.flags is None:
        return ""
    which = f"{text(shown.record.file)}, SCI,{shown.record.extver}"
    if not shown.flags:
        return f"<h3>DQ flags</h3>\n<p>{which} has no pixel with a flag that is not good.</p>"
    rows = []
    for bit, pixels in shown.flags:
        names = text(" ".join(flag_names(bit, mask.identity.instrument)))
        percent = f"{100 * pixels / mask.total:.4f}"
        numbers = [("number", cell) for cell in (str(pixels), percent)]
        rows.append([("number", str(bit)), ("", names), *numbers])
    heads = ("Bit", "Name", "Pixels", "Percent")
    flags = table(f"DQ flags of {Path(mask.path).name}", heads, rows)
    return (
        f"<h3>DQ flags</h3>\n<p>Pixels of {which} with each flag that does not count as good; "
        f"a pixel can have several.</p>\n{flags}"
    )


def _settings(report: Report) -> str:
    values = {key.name: getattr(report.settings, key.name) for key in fields(report.settings)}
    return _pairs("Settings", "Key", "Value", {k: _value(v) for k, v in values.items()})


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def _pairs(title: str, left: str, right: str, values: Mapping[str, str]) -> str:
    rows = [[("word", text(key)), ("name", text(value))] for key, value in values.items()]
    return f"<section><h2>{title}</h2>\n{table(title, (left, right), rows)}</section>"
