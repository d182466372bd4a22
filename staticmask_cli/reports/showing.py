"""The report: checked before a run, drawn and written after it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from pathlib import Path

from staticmask_cli.errors import ConfigError, OutputError
from staticmask_cli.exposures.fits_files import silenced
from staticmask_cli.files.atomic import folder_problems
from staticmask_cli.files.side_files import SideFile, foreign_link
from staticmask_cli.reports.exhibits import MaskPictures, draw
from staticmask_cli.reports.figures import quiet
from staticmask_cli.reports.page import BEGINNING, page
from staticmask_cli.reports.report import Report
from staticmask_cli.settings import Settings

_PNG = b"\x89PNG\r\n\x1a\n"
_PROGRAMS = ("numpy", "astropy", "matplotlib", "jinja2")
_OPTIONAL = ("matplotlib.figure", "jinja2")


def check(settings: Settings) -> None:
    """Check before a run that the report can be made and written.

    Parameters
    ----------
    settings : Settings
        The settings of the run.

    Raises
    ------
    ConfigError
        If an optional package is missing, or a file cannot be written.
    """
    problems = []
    options = requested(settings)
    if options and not _can_draw():
        needs = f"{' and '.join(options)} need{'s' if len(options) == 1 else ''}"
        problems.append(f"{needs} matplotlib and jinja2: pip install 'staticmask-cli[report]'")
    if settings.report == "-":  # as --summary takes it
        problems.append("--report: '-': a report cannot go to standard output; name a file")
    elif settings.report and (problem := _page_file(settings.report).problem()):
        problems.append(problem)
    if settings.preview:
        folder = Path(settings.preview)
        link = foreign_link(folder)
        found = [f"{folder}: {link}"] if link else folder_problems(folder)
        problems += [f"--preview: {line}" for line in found]
    if problems:
        raise ConfigError(*problems)


def requested(settings: Settings) -> list[str]:
    """Return the options that request a report."""
    return [f"--{name}" for name in ("report", "preview") if getattr(settings, name)]


def _can_draw() -> bool:
    """Return whether the optional packages can be imported."""
    quiet()
    # A notebook or a user may have selected a backend that is not installed. No window
    # is opened here, but importing matplotlib would fail.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        with silenced:  # matplotlib 3.8 and pyparsing 3.3
            for module in _OPTIONAL:
                importlib.import_module(module)
    except ImportError:
        return False
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return True


def _page_file(file: str) -> SideFile:
    return SideFile(file, "--report", "staticmask report", BEGINNING.encode())


def show(report: Report) -> None:
    """Draw the pictures, and write the page and the files of ``--preview``.

    Parameters
    ----------
    report : Report
        A run with masks.

    Raises
    ------
    OutputError
        If files cannot be written; lists all of them. The others are written.
    """
    masks = [draw(mask, report) for mask in report.masks]
    problems: list[str] = []
    for write in (_write_page, _write_pictures):
        try:
            write(report, masks)
        except OutputError as error:
            problems += error.problems
    if problems:
        raise OutputError(*problems)


def _write_page(report: Report, masks: list[MaskPictures]) -> None:
    file = report.settings.report
    if not file:
        return
    versions = {"staticmask": report.version, "Python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _PROGRAMS}
    _page_file(file).write(page(report, masks, versions).encode())


def _write_pictures(report: Report, masks: list[MaskPictures]) -> None:
    if not report.settings.preview:
        return
    folder = Path(report.settings.preview)
    problems: list[str] = []
    for part in masks:
        for what, png in part.files():
            name = f"{Path(part.mask.path).name.removesuffix('.fits')}_{what}.png"
            try:
                SideFile(str(folder / name), "--preview", "PNG", _PNG).write(png)
            except OutputError as error:
                problems += error.problems
    if problems:
        raise OutputError(*problems)
