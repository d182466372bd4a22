"""The library: what can be asked of exposures and masks, from Python."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from staticmask_cli import comparing, explaining, recounting, sweeping
from staticmask_cli.api import Input, settings_of
from staticmask_cli.comparing import Difference
from staticmask_cli.explaining import Explanation
from staticmask_cli.report import MaskReport
from staticmask_cli.sweeping import SweepRow


def sweep(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    sigmas: Iterable[float] = (3.0, 3.5, 4.0, 5.0, 6.0),
    **options: Any,
) -> tuple[SweepRow, ...]:
    """Count the pixels that masks at several sigmas would hold, reading each exposure once.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        As for `create_masks`.
    sigmas : iterable of float
        Values of ``static_sig``.
    **options
        As for `create_masks`.

    Returns
    -------
    tuple of SweepRow
        By mask, then in the order of `sigmas`.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`.
    """
    return sweeping.sweep(settings_of(input, **options), tuple(sigmas))


def explain(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    x: int,
    y: int,
    **options: Any,
) -> tuple[Explanation, ...]:
    """Tell what every exposure says of a pixel.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        As for `create_masks`.
    x, y : int
        Column and row, the first being 1, as in DS9.
    **options
        As for `create_masks`.

    Returns
    -------
    tuple of Explanation
        One for each mask.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`; also if the pixel lies outside of every mask.
    """
    return explaining.explain(settings_of(input, **options), [(x, y)])


def compare(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    old: str | os.PathLike[str],
    **options: Any,
) -> tuple[Difference, ...]:
    """Compare masks with older ones.

    Parameters
    ----------
    input : str, path, or iterable of these, optional
        Exposures, whose masks are made but not written; or masks.
    old : str or path
        The older mask, or a folder of them; DrizzlePac's will do.
    **options
        As for `create_masks`.

    Returns
    -------
    tuple of Difference
        By name.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`; also if the masks do not belong together.
    """
    return comparing.compare(settings_of(input, **options), os.fspath(old))


def recount(
    input: Input,  # noqa: A002 - the configuration's name
    min_exposures: float,
    **options: Any,
) -> tuple[MaskReport, ...]:
    """Rewrite masks that keep counts for another number of exposures, reading no exposure.

    Parameters
    ----------
    input : str, path, or iterable of these
        Masks that were made with ``counts``, or folders of them.
    min_exposures : float
        As for `create_masks`.
    **options
        Limits of verdicts and ``lock_timeout``, as for `create_masks`.

    Returns
    -------
    tuple of MaskReport
        The masks as they are now.

    Raises
    ------
    ConfigError, InputError, OutputError
        As `create_masks`; also if a mask keeps no counts.
    """
    return recounting.recount(settings_of(input, min_exposures=min_exposures, **options))
