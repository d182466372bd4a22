"""The report page and its pictures: checked before a run, made and written after it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from staticmask_cli.errors import ConfigError, OutputError
from staticmask_cli.exposures.fits_files import silenced
from staticmask_cli.files.atomic import folder_problems
from staticmask_cli.files.side_files import SideFile, foreign_link
from staticmask_cli.reports.exhibits import Exhibit, exhibit
from staticmask_cli.reports.figures import quiet
from staticmask_cli.reports.page import BEGINNING, page
from staticmask_cli.reports.report import MaskReport, Report
from staticmask_cli.settings import Settings

_PNG = b"\x89PNG\r\n\x1a\n"
_PROGRAMS = ("numpy", "astropy", "matplotlib")


def check(settings: Settings) -> None:
    """Make sure, before a run and not after it, that what is asked for can be made.

    Parameters
    ----------
    settings : Settings
        Those of the run.

    Raises
    ------
    ConfigError
        If matplotlib is missing, or page or pictures cannot be written.
    """
    problems = []
    options = asked(settings)
    if options and not _can_draw():
        needs = f"{' and '.join(options)} need{'s' if len(options) == 1 else ''}"
        problems.append(f"{needs} matplotlib: pip install 'staticmask-cli[report]'")
    if settings.report == "-":  # --summary's word for it
        problems.append("--report: '-': a report goes into a file, not to standard output")
    elif settings.report and (problem := _page_file(settings.report).problem()):
        problems.append(problem)
    if settings.preview:
        folder = Path(settings.preview)
        link = foreign_link(folder)
        found = [f"{folder}: {link}"] if link else folder_problems(folder)
        problems += [f"--preview: {line}" for line in found]
    if problems:
        raise ConfigError(*problems)


def asked(settings: Settings) -> list[str]:
    """Return the options by which pictures are asked for."""
    return [f"--{name}" for name in ("report", "preview") if getattr(settings, name)]


def _can_draw() -> bool:
    """Tell whether matplotlib is there, and works."""
    quiet()
    # A notebook's or a user's choice of windows, maybe one that is not there:
    # nothing here opens one, but importing matplotlib would fail of it.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        with silenced():  # matplotlib 3.8 and pyparsing 3.3
            importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return True


def _page_file(file: str) -> SideFile:
    return SideFile(file, "--report", "report", BEGINNING.encode())


def show(report: Report) -> None:
    """Make the pictures and write them: the page, and the files of their own.

    Parameters
    ----------
    report : Report
        A run that wrote masks.

    Raises
    ------
    OutputError
        All that cannot be written; the rest is.
    """
    parts = [(mask, exhibit(mask, report)) for mask in report.masks]
    problems: list[str] = []
    for write in (_write_page, _write_pictures):
        try:
            write(report, parts)
        except OutputError as error:
            problems += error.problems
    if problems:
        raise OutputError(*problems)


def _write_page(report: Report, parts: list[tuple[MaskReport, Exhibit | str]]) -> None:
    file = report.settings.report
    if not file:
        return
    versions = {"staticmask": report.version, "Python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _PROGRAMS}
    _page_file(file).write(page(report, parts, versions).encode())


def _write_pictures(report: Report, parts: list[tuple[MaskReport, Exhibit | str]]) -> None:
    if not report.settings.preview:
        return
    folder = Path(report.settings.preview)
    problems: list[str] = []
    for mask, shown in parts:
        for what, png in _pictures(shown):
            name = f"{Path(mask.path).name.removesuffix('.fits')}_{what}.png"
            try:
                SideFile(str(folder / name), "--preview", "PNG", _PNG).write(png)
            except OutputError as error:
                problems += error.problems
    if problems:
        raise OutputError(*problems)


def _pictures(shown: Exhibit | str) -> Iterator[tuple[str, bytes]]:
    if isinstance(shown, str):
        return
    yield "mask", shown.overview
    yield "zoom", shown.zoom[0]
    if shown.histogram:
        yield "histogram", shown.histogram[0]
