"""What a report's pictures show, in sentences; plain text, not yet fit for HTML."""

from __future__ import annotations

from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.reports.exhibits import Exhibit
from staticmask_cli.reports.figures import Histogram, in_words
from staticmask_cli.reports.pictures import BLACK, WHITE, dot, scale
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.settings import as_number
from staticmask_cli.statistics.rounds import CLIP

#: Sentences, each with the key of the colour that it tells of, or nothing.
Caption = list[tuple[str, str]]

_TIMES = "\N{MULTIPLICATION SIGN}"


def introduction(report: Report) -> list[str]:
    """Return what the masks are and how they were made."""
    settings = report.settings
    votes = as_number(settings.min_exposures)
    often = f"a share of {votes:g}" if votes < 1 else str(votes)
    rule = (
        f"A pixel is bad that lies more than {settings.static_sig:g} rms below the mode of its "
        f"chip in at least {often} of the exposures that saw it."
    )
    flags = "DQ flags were not read."
    if settings.final_bits is not None:
        good = settings.final_bits
        flags = f"So is one that has a DQ flag there; DQ bits that count as good: {good}."
    made = (
        f"{_some(len(report.masks), 'mask')} made by staticmask {report.version} in a run over "
        f"{_some(len(report.exposures), 'exposure')}: 1 for good pixels, 0 for bad ones."
    )
    return [made, f"{rule} {flags}"]


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def chip(identity: ChipIdentity) -> str:
    """Return which silicon a mask belongs to."""
    detector = f" {identity.detector}" if identity.detector else ""
    words = f"{identity.instrument}{detector}, chip {identity.number}, "
    words += f"{identity.columns} {_TIMES} {identity.rows} pixels"
    if (identity.x0, identity.y0) != (0, 0):
        words += f", from detector pixel x {identity.x0 + 1}, y {identity.y0 + 1}"
    if (identity.xbin, identity.ybin) != (1, 1):
        words += f", binned {identity.xbin} {_TIMES} {identity.ybin}"
    return words


def _exposure(shown: Exhibit) -> str:
    return f"{shown.record.file}, SCI,{shown.record.extver}"


def _extent(shown: Exhibit) -> str:
    rows, columns = shown.window
    return f"x {columns.start + 1} to {columns.stop}, y {rows.start + 1} to {rows.stop}"


def _share(mask: MaskReport, shown: Exhibit) -> str:
    return f"{_some(shown.bad, 'bad pixel')} of {mask.total} ({100 * shown.bad / mask.total:.4f} %)"


def overview(mask: MaskReport, shown: Exhibit) -> Caption:
    """Return the caption of the picture of a whole chip."""
    identity, record = mask.identity, shown.record
    block, times = scale(identity.shape)
    points = f"every pixel is drawn {times} {_TIMES} {times} points wide"
    if times == 1:
        points = "a point is a pixel"
    if block > 1:
        points = f"a point is the mean of {block} {_TIMES} {block} pixels"
    most = ""
    if mask.exposures > 1:
        most = ", of the exposures in this run the one with most bad pixels"
    gave = _some(record.n_low, "low pixel")
    if shown.flags is not None:
        gave = f"{gave} and {record.n_flagged} flagged"
    shows = (
        f"{_exposure(shown)}{most}: {gave}. Pixels x 1 to {identity.columns}, y 1 to "
        f"{identity.rows}, counted as in DS9, row 1 at the bottom; {points}, black at "
        f"{-BLACK:g} times the noise below the median, white at {WHITE:g} times above it."
    )
    wide = dot(shown.bad, identity.shape)
    dots = f"as dots {wide} points wide" if wide > times else "each where it is"
    caption = [
        ("", shows),
        ("bad", f"{_share(mask, shown)} in the mask, {dots}."),
        ("window", f"The part that is drawn larger: {_extent(shown)}."),
    ]
    unseen = mask.total - shown.statistics.n_finite
    if unseen:
        caption.append(("unseen", f"{_some(unseen, 'pixel')} of this exposure hold no number."))
    return caption


def overview_alt(mask: MaskReport, shown: Exhibit) -> str:
    """Return what to read in place of that picture."""
    return (
        f"The mask over {_exposure(shown)}: {_share(mask, shown)} marked on "
        f"{mask.identity.columns} by {mask.identity.rows} pixels; {shown.inside} of them lie in "
        f"{_extent(shown)}."
    )


def zoom(mask: MaskReport, shown: Exhibit) -> Caption:
    """Return the caption of the part that is drawn larger."""
    rows, columns = (part.stop - part.start for part in shown.window)
    size = f"{columns} {_TIMES} {rows} pixels"
    if not mask.bad:
        return [("", f"The mask has no bad pixel; these are the {size} in the middle.")]
    inside = f"{_extent(shown)}, {size}: {_some(shown.inside, 'bad pixel')}, outlined."
    return [("bad", f"{inside} Greys as above.")]


def zoom_alt(mask: MaskReport, shown: Exhibit) -> str:
    """Return what to read in place of that picture."""
    return (
        f"Pixels {_extent(shown)} of {_exposure(shown)}: {shown.inside} of the mask's "
        f"{_some(mask.bad or 0, 'bad pixel')} outlined."
    )


def histogram(shown: Exhibit, counts: Histogram) -> Caption:
    """Return the caption of the histogram."""
    width = in_words(float(counts.edges[1] - counts.edges[0]), 3)
    beyond = "all are shown"
    if counts.below or counts.above:
        beyond = f"{counts.below} more lie below what is shown, {counts.above} above"
    shows = (
        f"The {shown.statistics.n_finite} pixels of this exposure that hold a number, in bins of "
        f"{width}; {beyond}. The clip limits are {CLIP:g} rms from the mean, in the last round."
    )
    return [("", shows), ("bad", f"Below the threshold: {_some(shown.record.n_low, 'low pixel')}.")]


def histogram_alt(shown: Exhibit, counts: Histogram) -> str:
    """Return what to read in place of the histogram."""
    low, high = map(in_words, counts.limits)
    return (
        f"Histogram of {_exposure(shown)}: mode {in_words(counts.mode)}, clip limits {low} and "
        f"{high}, threshold {in_words(counts.threshold)}; {shown.record.n_low} of "
        f"{shown.statistics.n_finite} pixels lie below the threshold."
    )
