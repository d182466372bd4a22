"""Metadata of an exposure, from its headers: target, filter, date, exposure time, unit."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from staticmask_cli.exposures.headers import HeaderError, as_float, as_word
from staticmask_cli.exposures.instruments import instrument_of

#: Keywords of either header that are used here, besides those of filters.
KEYWORDS = ("BUNIT", "DATE-OBS", "TIME-OBS", "TDATEOBS", "TTIMEOBS", "TARGNAME", "EXPTIME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Metadata of the exposure of a chip.

    Attributes
    ----------
    unit, date_obs, target, filter : str
    exposure_time : float
        As in `ChipRecord`.
    """

    unit: str
    date_obs: str
    target: str
    filter: str
    exposure_time: float


def observe(instrument: str, primary: Mapping[str, Any], science: Mapping[str, Any]) -> Observation:
    """Return the metadata in the headers of a chip; invalid values count as missing.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    primary, science : mapping
        Headers of the primary HDU and of the SCI extension, which takes precedence.
    """
    both = {**primary, **science}
    time = math.nan
    with suppress(HeaderError):
        time = as_float(both, "EXPTIME")
    filters = (as_word(both, keyword) for keyword in instrument_of(instrument).filters)
    return Observation(
        unit=as_word(both, "BUNIT"),
        date_obs=_date(as_word(both, "DATE-OBS"), as_word(both, "TIME-OBS"))
        or _date(as_word(both, "TDATEOBS"), as_word(both, "TTIMEOBS")),
        target=as_word(both, "TARGNAME"),
        filter=" ".join(f for f in filters if f and not f.upper().startswith("CLEAR")),
        exposure_time=time,
    )


def _date(date: str, time: str) -> str:
    """Return date and time in ISO 8601; empty if the date is invalid."""
    day, _, clock = date.partition("T")
    if old := re.fullmatch(r"(\d\d)/(\d\d)/(\d\d)", day):  # the form in FITS until 1999
        day = f"19{old[3]}-{old[2]}-{old[1]}"
    try:
        day = dt.date.fromisoformat(day).isoformat()
    except ValueError:
        return ""
    with suppress(ValueError):
        return f"{day}T{dt.time.fromisoformat(clock or time).isoformat('seconds')}"
    return day
