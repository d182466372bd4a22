"""Checks of single configuration values, as the configspec names them."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Container, Iterable
from fractions import Fraction
from numbers import Real
from typing import Any, SupportsIndex

from configobj.validate import ValidateError, Validator, VdtTypeError, VdtValueError

from staticmask_cli.errors import ConfigError
from staticmask_cli.settings import AmbiguousError, Background, Group, MinExposures, Shard

#: Values that mean "not given" in DrizzlePac's configuration files.
NOT_GIVEN = frozenset({"", "none", "indef"})

#: The values that each check of the configspec allows, for messages, with {min} and {max}.
ALLOWED = {
    "background": "chip or local",
    "bits": "None, a sum of DQ bits such as 96, '64,32' or 64+32, ~ before it for all others, "
    "or names of bits such as HOT,WARM",
    "boolean": "True or False, yes or no, on or off, 1 or 0",
    "group": "None, 'sci,N', or HDU numbers such as 1 or 1,4",
    "integer": "a whole number from {min} to {max}",
    "number": "a number >= {min}",
    "positive": "a number > 0",
    "patterns": "file names, patterns, @lists or association tables",
    "prefix": "None, or letters, digits, '.', '_', '+' and '-', beginning with a letter or digit",
    "folder": "the name of a folder",
    "optional_file": "None, or the name of a file",
    "optional_folder": "None, or the name of a folder",
    "scheduler": "None, local, or the address or file of a dask scheduler",
    "shard": "None, or I/N with I from 0 or 1 up to N, such as 3/64",
    "votes": "a number of exposures from 1 to 32767, a share such as 50% or 0.5, or all",
}


class RefusedError(ValidateError):  # type: ignore[misc]  # it has no types
    """A value that is refused for a specific reason, which the message gives."""


def is_given(value: Any) -> bool:
    """Return whether `value` is not None, INDEF or blank."""
    if isinstance(value, (list, tuple)):
        return any(is_given(item) for item in value)
    return value is not None and str(value).strip().lower() not in NOT_GIVEN


def native(value: Any) -> Any:
    """Return a value from Python in the types of a configuration.

    NumPy arrays and numbers become Python's, paths and bytes become text, and
    fractions become floats.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [native(item) for item in value]
    if isinstance(value, (bytes, os.PathLike)):
        return os.fsdecode(value)
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        return operator.index(value)
    return value


def check_apply(given: Container[str], *, has_folder: bool, undo: bool, in_place: bool) -> None:
    """Check that the arguments of apply agree.

    Parameters
    ----------
    given : container of str
        The configuration keys that were given.
    has_folder : bool
        Whether a folder for copies was given, perhaps by the configuration.
    undo, in_place : bool
        As for ``apply``.

    Raises
    ------
    ConfigError
        If they do not.
    """
    if undo and "input" in given:
        raise ConfigError("undo takes no masks; the exposures record what was set")
    if not undo and "input" not in given:
        raise ConfigError("MASK is missing; give masks or folders of masks")
    if in_place and "output_dir" in given:
        raise ConfigError("in-place and output-dir exclude each other; choose one")
    if not in_place and not has_folder:
        raise ConfigError("output-dir is missing; give a folder for the copies, or in-place")


def _plain(value: Any) -> str:
    """Join what configobj split at commas, and strip it."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(item).strip() for item in value)
    return str(value).strip()


def _number(value: Any, min: str) -> float:  # noqa: A002 - configspec's word
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise VdtTypeError(value) from None
    is_odd = isinstance(value, bool) or "_" in str(value) or not str(value).isascii()
    if is_odd or not math.isfinite(number) or number < float(min):
        raise VdtValueError(value)
    return number


def _positive(value: Any) -> float:
    number = _number(value, "0")
    if number == 0:
        raise VdtValueError(value)
    return number


def _patterns(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, str) for item in items):  # such as a number from Python
        raise VdtTypeError(value)
    patterns = tuple(item for item in items if item.strip())
    if not patterns or any("\0" in pattern for pattern in patterns):
        raise VdtValueError(value)
    return patterns


def _folder(value: Any) -> str:
    path = _path(value)
    if path is None:
        raise VdtValueError(value)
    return path


def _path(value: Any) -> str | None:
    if not is_given(value):
        return None
    # Such as a number or an open file from Python.
    if not isinstance(value, (str, list)) or "\0" in _plain(value):
        raise VdtValueError(value)
    return os.path.expanduser(os.path.expandvars(_plain(value)))  # noqa: PTH111 - as for inputs


def _votes(value: Any) -> MinExposures:
    try:
        return MinExposures.of(_plain(value))
    except AmbiguousError as error:
        raise RefusedError(*error.args) from None
    except ValueError:
        raise VdtValueError(value) from None


def _shard(value: Any) -> Shard | None:
    if not is_given(value):
        return None
    match = re.fullmatch(r"(\d{1,9})\s*/\s*(\d{1,9})", _plain(value), re.ASCII)
    if match is None or not 1 <= int(match[2]) >= int(match[1]):
        raise VdtValueError(value)
    return Shard(int(match[1]), int(match[2]))


def _background(value: Any) -> Background:
    try:
        return Background(_plain(value).lower())
    except ValueError:
        raise VdtValueError(value) from None


def _prefix(value: Any) -> str | None:
    if not is_given(value):
        return None
    text = _plain(value)
    # File names begin with it: it must not leave the folder or hide the file.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", text):
        raise VdtValueError(value)
    return text


def _group(value: Any) -> Group | None:
    if not is_given(value):
        return None
    text = _plain(value)
    # As in file.fits[sci,1], or as a tuple in Python.
    if brackets := re.fullmatch(r"\[(.+)\]|\((.+)\)", text):
        text = (brackets[1] or brackets[2]).strip()
    if match := re.fullmatch(r"""(['"]?)sci\1\s*,\s*(\d{1,9})""", text, re.IGNORECASE):
        return Group(extver=int(match[2]))
    if re.fullmatch(r"\d{1,9}(\s*,\s*\d{1,9})*", text):
        return Group(hdus=tuple(dict.fromkeys(int(part) for part in text.split(","))))
    raise VdtValueError(value)


def _bits(value: Any) -> str | None:
    if not is_given(value):
        return None
    text = _plain(value)
    # Imported here, because --help must not import astropy.
    from staticmask_cli.exposures.dq_bits import check_bits  # noqa: PLC0415

    if check_bits(text) is not None:
        raise VdtValueError(value)
    return text


def validator() -> Validator:
    """Return configobj's validator with the checks of this module."""
    return Validator(
        {
            "background": _background,
            "bits": _bits,
            "group": _group,
            "number": _number,
            "patterns": _patterns,
            "positive": _positive,
            "prefix": _prefix,
            "folder": _folder,
            "optional_file": _path,
            "optional_folder": _path,
            "scheduler": _path,
            "shard": _shard,
            "votes": _votes,
        }
    )


def checked_sigmas(sigmas: Iterable[float]) -> tuple[float, ...]:
    """Return the sigmas of a sweep, each once.

    Raises
    ------
    ConfigError
        If there are none, or one is not a number > 0.
    """
    found = tuple(sigmas)
    is_good = (isinstance(s, Real) and math.isfinite(s) and s > 0 for s in found)
    if not found or not all(is_good):
        raise ConfigError("sigmas must be one or more numbers > 0")
    return tuple(map(float, dict.fromkeys(found)))


def checked_pixel(x: int, y: int) -> tuple[int, int]:
    """Return the column and row of a pixel, counted from 1.

    Raises
    ------
    ConfigError
        If they are not integers >= 1.
    """
    if not all(isinstance(n, SupportsIndex) and operator.index(n) >= 1 for n in (x, y)):
        raise ConfigError(f"x={x!r}, y={y!r} are not the column and row of a pixel, from 1")
    return operator.index(x), operator.index(y)
