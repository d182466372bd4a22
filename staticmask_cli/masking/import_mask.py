"""A mask from tables or regions, such as hand-made ones; no exposure is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.urls import Url, is_url
from staticmask_cli.masking.engines import jobs_of
from staticmask_cli.masking.outputs import mask_name, output_files
from staticmask_cli.masking.write import put_masks
from staticmask_cli.masks.editing import Edit, Operation
from staticmask_cli.masks.pixel_lists import read_pixel_list
from staticmask_cli.masks.records import file_text
from staticmask_cli.masks.regions import read_regions
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.reports.report import MaskReport, MaskState, RunRecord
from staticmask_cli.settings import Settings
from staticmask_cli.statistics.votes import pack

_LARGEST = 2**28  # bytes: a line for each pixel of the largest detector takes less


def import_mask(
    settings: Settings, like: str, *, run_record: RunRecord | None = None
) -> MaskReport:
    """Write the mask of the pixels that tables and regions list.

    Parameters
    ----------
    settings : Settings
        ``input`` is tables (``.csv``) and DS9 regions (``.reg``); ``output_dir``,
        ``overwrite`` and ``lock_timeout`` apply.
    like : str
        The mask whose identity and name the new one gets.
    run_record : RunRecord, optional
        Receives the mask and the warnings.

    Returns
    -------
    MaskReport

    Raises
    ------
    InputError
        If a table cannot be read or `like` records no identity; nothing was written.
    OutputError
        If the mask exists, or cannot be written.
    """
    run_record = RunRecord() if run_record is None else run_record
    remote = [Url(name) for name in (like, *settings.input) if is_url(name)]
    if remote:
        raise InputError(*(f"{url}: is at a URL; download it" for url in remote))
    model = Path(like)
    identity = StaticMask.read(model).identity
    if identity is None:
        raise InputError(f"{model}: does not record its chip; give a mask of this program")
    bad = np.zeros(identity.shape, dtype=bool)
    edits = []
    problems: list[str] = []
    paths = [Path(entry) for entry in settings.input]
    for path in paths:
        try:
            raw = _bytes(path)
            listed = _pixels(path, raw, identity)
        except InputError as error:
            problems += error.problems
            continue
        if not listed.any():
            run_record.warn(f"{path}: lists no pixel")
        edits.append(
            Edit(
                Operation.IMPORT,
                file_text(path.name),
                hashlib.sha256(raw).hexdigest(),
                gained=int((listed & ~bad).sum()),
                lost=0,
            )
        )
        bad |= listed
    if problems:
        raise InputError(*problems)
    mask = StaticMask(shape=identity.shape, bits=pack(bad), identity=identity, edits=tuple(edits))
    with output_files([mask_name(model)], [model, *paths], settings) as before:
        (path,) = before
        report = MaskReport(
            path=str(path),
            state=MaskState.PLANNED,
            identity=identity,
            chips=mask.records,
            mask=mask,
        )
        put_masks({path: report}, before, jobs_of(settings), run_record)
    return run_record.masks[0]


def _bytes(path: Path) -> bytes:
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: is too large for a table of pixels")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: file not found") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None


def _pixels(path: Path, raw: bytes, identity: ChipIdentity) -> NDArray[np.bool_]:
    """Return the pixels that a file lists, by the ending of its name."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".reg"):
        raise InputError(f"{path}: is neither a table (.csv) nor regions of DS9 (.reg)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8") from None
    if kind == ".csv":
        return read_pixel_list(str(path), text, identity.shape)
    return read_regions(str(path), text, identity.shape, identity)
