"""The library: what can be asked of exposures and masks, from Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from staticmask_cli.api import Input, Name, as_name, settings_of
from staticmask_cli.cli.questions import TAKES, as_asked, checked_place, checked_sigmas
from staticmask_cli.config.checks import native
from staticmask_cli.errors import ConfigError
from staticmask_cli.masking import compare as comparing
from staticmask_cli.masking import explain as explaining
from staticmask_cli.masking import recount as recounting
from staticmask_cli.masking import sweep as sweeping
from staticmask_cli.masking.compare import Difference
from staticmask_cli.masking.explain import Explanation
from staticmask_cli.masking.sweep import SweepRow
from staticmask_cli.reports.report import MaskReport
from staticmask_cli.settings import Settings


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
        As for `create_masks`, as far as they mean something here.

    Returns
    -------
    tuple of SweepRow
        By mask, then in the order of `sigmas`.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`.
    """
    sigmas = native(sigmas)
    if not isinstance(sigmas, Iterable) or isinstance(sigmas, str):
        raise ConfigError(f"sigmas: {sigmas!r} is not a list of numbers")
    return sweeping.sweep(_settings("sweep", input, options), checked_sigmas(sigmas))


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
        As for `create_masks`, as far as they mean something here.

    Returns
    -------
    tuple of Explanation
        One for each mask.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`; also if the pixel lies outside of every mask.
    """
    place = checked_place(native(x), native(y))
    return explaining.explain(_settings("explain", input, options), [place])


def compare(
    input: Input | None = None,  # noqa: A002 - the configuration's name
    *,
    old: Name,
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
        As for `create_masks`, as far as they mean something here.

    Returns
    -------
    tuple of Difference
        By name.

    Raises
    ------
    ConfigError, InputError
        As `create_masks`; also if the masks do not belong together.
    """
    return comparing.compare(_settings("compare", input, options), as_name(old, "old"))


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
        Limits of checks and ``lock_timeout``, as for `create_masks`.

    Returns
    -------
    tuple of MaskReport
        The masks as they are now.

    Raises
    ------
    ConfigError, InputError, OutputError
        As `create_masks`; also if a mask keeps no counts.
    """
    if min_exposures is None:
        raise ConfigError("min_exposures: None is not a number of exposures")
    options["min_exposures"] = min_exposures
    return recounting.recount(_settings("recount", input, options))


def _settings(question: str, entries: Input | None, options: dict[str, Any]) -> Settings:
    """Return settings for a question, refusing options that mean nothing to it."""
    settings = settings_of(entries, **options)  # tells of those that do not exist
    alien = [name for name in options if name not in TAKES[question] | {"config"}]
    if alien:
        raise ConfigError(f"{question} does not take {', '.join(alien)}")
    return as_asked(settings)
