"""Masks in the forms that other programs read. The masks are not changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from staticmask_cli.errors import InputError, OutputError
from staticmask_cli.exposures.inputs import resolve_masks
from staticmask_cli.exposures.products import MASK_ENDING
from staticmask_cli.files.atomic import Sink, put_in_place, staged
from staticmask_cli.files.signals import signals_deferred
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.outputs import mask_name, output_files
from staticmask_cli.masks.bad_pixel_table import bad_pixel_table, why_no_table
from staticmask_cli.masks.fits_form import bad_image
from staticmask_cli.masks.pixel_lists import as_pixel_list
from staticmask_cli.masks.regions import as_regions
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import ExportFormat, Settings

# What replaces the ending of a mask's name.
_ENDINGS = {
    ExportFormat.BAD: "_bad.fits",
    ExportFormat.CSV: "_bad.csv",
    ExportFormat.REG: "_bad.reg",
    ExportFormat.BPIXTAB: "_bpx.fits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One exported file.

    Attributes
    ----------
    path : str
        Its path.
    format : ExportFormat
        Its form.
    masks : tuple of str
        The paths of its masks: two for the table of a detector with two chips, else one.
    bad : int
        Number of bad pixels in them.
    """

    path: str
    format: ExportFormat
    masks: tuple[str, ...]
    bad: int

    def cells(self) -> tuple[str, ...]:
        """Return path, number of bad pixels and masks for a table."""
        return self.path, str(self.bad), ", ".join(self.masks)

    def documents(self) -> list[dict[str, Any]]:
        """Return it in JSON types, once for each mask."""
        return [
            {"mask": mask, "path": self.path, "format": self.format, "bad": self.bad}
            for mask in self.masks
        ]


#: Headings of `Export.cells`.
HEADING = ("file", "bad", "masks")

_Read = tuple[Path, StaticMask]


def export(settings: Settings, form: ExportFormat) -> tuple[Export, ...]:
    """Write masks in another form.

    Parameters
    ----------
    settings : Settings
        ``input`` is masks, also DrizzlePac's, or folders of masks; ``output_dir``,
        ``overwrite``, ``jobs`` and ``lock_timeout`` apply.
    form : ExportFormat
        The form.

    Returns
    -------
    tuple of Export
        The files, in the order of their first masks.

    Raises
    ------
    InputError
        If a mask cannot be read, or cannot have this form; nothing was written.
    OutputError
        If a file exists, or cannot be written.
    """
    groups = _grouped(_read(settings.input), form)
    names = [_name(group, form) for group in groups]
    inputs = [path for group in groups for path, _ in group]
    with output_files(names, inputs, settings) as before:
        exports = {
            path: Export(
                path=str(path),
                format=form,
                masks=tuple(str(mask) for mask, _ in group),
                bad=sum(mask.n_bad for _, mask in group),
            )
            for path, group in zip(before, groups, strict=True)
        }
        files = {
            path: partial(_write, group, form) for path, group in zip(before, groups, strict=True)
        }
        with staged(files, jobs_of(settings)) as parts, signals_deferred():
            _, problems = put_in_place(parts, before)
    if problems:
        raise OutputError(*problems)
    return tuple(exports.values())


def _read(entries: Iterable[str]) -> list[_Read]:
    paths, unresolved = resolve_masks(entries)
    problems = list(unresolved)
    masks = []
    for path in paths:
        try:
            masks.append((path, StaticMask.read(path)))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return masks


def _grouped(masks: Iterable[_Read], form: ExportFormat) -> list[list[_Read]]:
    """Return the masks of each file: of one chip or, for a table, of one detector."""
    if form is not ExportFormat.BPIXTAB:
        return [[one] for one in masks]
    groups: dict[tuple[str, str], list[_Read]] = {}
    problems = []
    for path, mask in masks:
        identity = mask.identity
        if identity is None:
            problems.append(f"{path}: does not record its detector, which a table needs")
            continue
        if reason := why_no_table(identity):
            problems.append(f"{path}: {reason}")
            continue
        group = groups.setdefault((identity.instrument, identity.detector), [])
        for other, known in group:
            if known.identity is not None and known.identity.number == identity.number:
                problems.append(f"{path}: is of the same chip as {other}; give one of them")
        group.append((path, mask))
    if problems:
        raise InputError(*problems)
    return list(groups.values())


def _name(group: Sequence[_Read], form: ExportFormat) -> str:
    path, mask = group[0]
    stem = mask_name(path).removesuffix(MASK_ENDING).removesuffix(".fits")
    if len(group) > 1 and mask.identity is not None:
        stem = mask.identity.label
    return stem + _ENDINGS[form]


def _write(group: Sequence[_Read], form: ExportFormat, file: Sink) -> None:
    mask = group[0][1]
    match form:
        case ExportFormat.BAD:
            bad_image(mask).writeto(file)
        case ExportFormat.CSV:
            file.write(as_pixel_list(mask).encode())
        case ExportFormat.REG:
            file.write(as_regions(mask).encode())
        case ExportFormat.BPIXTAB:
            chips = ((one.identity, one.bad) for _, one in group if one.identity is not None)
            bad_pixel_table(chips).writeto(file)
