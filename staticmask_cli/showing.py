"""The report page and its pictures: checked before a run, made and written after it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from staticmask_cli.errors import ConfigError, OutputError, printable
from staticmask_cli.exhibits import Exhibit, exhibit
from staticmask_cli.exposures import silenced
from staticmask_cli.figures import quiet
from staticmask_cli.page import BEGINNING, page
from staticmask_cli.report import MaskReport, Report
from staticmask_cli.settings import Settings
from staticmask_cli.sidefiles import target, why_not, write_whole
from staticmask_cli.writing import folder_problems, made_folder

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
    asked = [f"--{name}" for name in ("report", "preview") if getattr(settings, name)]
    if asked and not _can_draw():
        needs = f"{' and '.join(asked)} need{'s' if len(asked) == 1 else ''}"
        problems.append(f"{needs} matplotlib: pip install 'staticmask-cli[report]'")
    if settings.report:
        problems += _page_problems(settings.report, is_folder_made=_comes_with_the_masks(settings))
    if settings.preview:
        problems += [f"--preview: {line}" for line in folder_problems(Path(settings.preview))]
    if problems:
        raise ConfigError(*problems)


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


def _comes_with_the_masks(settings: Settings) -> bool:
    """Tell whether the page goes into the masks' folder, and that will be made."""
    folder = target(settings.output_dir)
    return target(settings.report or "").parent == folder and not folder.exists()


def _page_problems(file: str, *, is_folder_made: bool = False) -> list[str]:
    if file == "-":  # --summary's word for it
        return ["--report: '-': a report goes into a file, not to standard output"]
    reason = None if is_folder_made else why_not(file, BEGINNING.encode(), "report of staticmask's")
    if reason is None and file.endswith(".fits"):
        reason = "is a name for a mask or an exposure"
    return [f"--report: {printable(file)}: {printable(reason)}"] if reason else []


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
    if problems := _page_problems(file):  # the run may have taken its time
        raise OutputError(*problems)
    versions = {"staticmask": report.version, "Python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _PROGRAMS}
    write_whole(target(file), page(report, parts, versions).encode(), "--report")


def _write_pictures(report: Report, parts: list[tuple[MaskReport, Exhibit | str]]) -> None:
    if not report.settings.preview:
        return
    folder = Path(report.settings.preview)
    problems: list[str] = []
    with made_folder(folder):
        for mask, shown in parts:
            for what, png in _pictures(shown):
                name = f"{Path(mask.path).name.removesuffix('.fits')}_{what}.png"
                try:
                    _write_picture(folder / name, png)
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


def _write_picture(path: Path, png: bytes) -> None:
    if reason := why_not(str(path), _PNG, "PNG"):
        raise OutputError(f"--preview: {printable(path)}: {printable(reason)}")
    write_whole(target(str(path)), png, "--preview")
