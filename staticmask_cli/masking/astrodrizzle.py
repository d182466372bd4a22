"""Masks in the place of AstroDrizzle's own static-mask step."""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from staticmask_cli.errors import InputError, StaticMaskError
from staticmask_cli.exposures.chips import Chip, open_exposure
from staticmask_cli.masks.matching import MaskSet
from staticmask_cli.settings import Settings

log = logging.getLogger(__name__)

# DrizzlePac's step is replaced by assigning to its module, through which AstroDrizzle calls
# it (3.11). Each name must exist there, or the step has moved.
_USED = ("createStaticMask", "PROCSTEPS_NAME", "STEP_NUM", "util")


@contextmanager
def replaced_step(masks: Iterable[str], settings: Settings) -> Iterator[None]:
    """Use masks in the place of AstroDrizzle's static-mask step within the context.

    Parameters
    ----------
    masks : iterable of str
        Masks, patterns, or folders of masks.
    settings : Settings
        How exposures are opened.

    Raises
    ------
    StaticMaskError
        If DrizzlePac is not installed, or its step has moved.
    InputError
        If masks cannot be read. AstroDrizzle raises it, before its first step, if a chip
        has no mask.
    """
    module = _step_module()
    found = MaskSet(masks)
    original = module.createStaticMask
    with tempfile.TemporaryDirectory(prefix="staticmask-") as folder:

        def create_static_mask(
            imageObjectList: list[Any],  # noqa: N803 - DrizzlePac's names
            configObj: Mapping[str, Any],  # noqa: N803 - same
            procSteps: Any = None,  # noqa: N803 - same
        ) -> None:
            if procSteps is not None:
                procSteps.addStep(module.PROCSTEPS_NAME)
            if configObj[module.util.getSectionName(configObj, module.STEP_NUM)]["static"]:
                _assign(imageObjectList, found, settings, Path(folder))
            else:
                log.warning("static is off in AstroDrizzle's configuration: masks are not used")
            if procSteps is not None:
                procSteps.endStep(module.PROCSTEPS_NAME)

        module.createStaticMask = create_static_mask
        try:
            yield
        finally:
            module.createStaticMask = original


def _step_module() -> Any:
    """Return DrizzlePac's module of the step."""
    try:
        module = importlib.import_module("drizzlepac.staticMask")
    except ImportError as error:
        raise StaticMaskError(
            f"DrizzlePac cannot be imported ({error}); install drizzlepac in this environment"
        ) from None
    missing = [name for name in _USED if not hasattr(module, name)]
    if missing:
        version = getattr(importlib.import_module("drizzlepac"), "__version__", "?")
        raise StaticMaskError(
            f"drizzlepac {version} has no staticMask.{missing[0]}; masks cannot take the place of "
            "its static-mask step"
        )
    return module


def _assign(images: Iterable[Any], masks: MaskSet, settings: Settings, folder: Path) -> None:
    """Give each chip of AstroDrizzle's images a copy of its mask."""
    wanted: list[tuple[Any, Any, str, NDArray[np.bool_]]] = []
    problems: list[str] = []
    for image in images:
        path = Path(image._filename).absolute()  # noqa: SLF001 - it has no other name
        chips = {chip.extver: chip for chip in open_exposure(path, settings).chips}
        for number in image.getExtensions() if image.group is None else image.group:
            chip: Chip | None = chips.get(int(number))
            if chip is None:
                problems.append(f"{path}: SCI,{number}: not found")
                continue
            try:
                matched = masks.of(chip.identity)
            except ValueError as error:
                problems.append(f"{path}: SCI,{number}: {error}")
                continue
            log.info("%s SCI,%s: mask %s", path.name, number, matched.path)
            extension = image[f"{image.scienceExt},{number}"]
            name = f"{len(wanted)}_{matched.path.name}"
            wanted.append((image, extension, name, matched.bad))
    if problems:
        raise InputError(*problems)
    for image, extension, name, bad in wanted:
        # AstroDrizzle may delete the file.
        hdu = fits.PrimaryHDU((~bad).astype(np.int16))
        copy = str(folder / name)
        extension.outputNames["staticMask"] = copy
        if image.inmemory:
            image.saveVirtualOutputs({copy: hdu})
        else:
            hdu.writeto(copy)
