"""The configuration: packaged file < user's file < environment < flags, merged and checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configobj import ConfigObj, ConfigObjError
from configobj.validate import ValidateError

from staticmask_cli.checks import is_given, validator
from staticmask_cli.configspec import DEFAULTS_FILE, Layer, default, keys
from staticmask_cli.errors import ConfigError, printable
from staticmask_cli.settings import Settings

ENVIRONMENT_PREFIX = "STATICMASK_"

# DrizzlePac's own bookkeeping in a .cfg file: no keys of the user's.
_BOOKKEEPING = ("_task_name_", "_rules_", "updatewcs")
_DRIZZLE_TASK = "astrodrizzle"
_DRIZZLE_FINAL = "STEP 7: DRIZZLE FINAL COMBINED IMAGE"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A merged configuration that has been found good.

    Attributes
    ----------
    settings : Settings
        The values, converted.
    layer : dict
        The values as written, each with where it was written.
    notes : tuple of str
        What was left aside on the way, for a user who wants to know.
    """

    settings: Settings
    layer: Layer
    notes: tuple[str, ...] = ()


def _same(left: str, right: str) -> bool:
    return " ".join(left.split()).casefold() == " ".join(right.split()).casefold()


def _suggestion(name: str, section: str | None) -> str:
    """Return a hint at what the user may have meant by an unknown key."""
    if name in keys() and section != keys()[name].section:
        home = keys()[name].section
        return f"; it belongs {f'into [{home}]' if home else 'to the top, before any section'}"
    close = difflib.get_close_matches(name, keys(), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; the keys are {', '.join(keys())}"


def read_mapping(values: Mapping[str, Any], origin: str) -> tuple[Layer, list[str], list[str]]:
    """Sort a configuration in DrizzlePac's layout into known keys and the rest.

    Parameters
    ----------
    values : mapping
        Keys and sections, as configobj reads them.
    origin : str
        Where they come from, for messages: a file name, usually.

    Returns
    -------
    layer : dict
        The known keys.
    problems : list of str
        A line for each unknown key or section.
    notes : list of str
        What was left aside because it belongs to other tasks of DrizzlePac's.
    """
    sections = {str(k): v for k, v in values.items() if isinstance(v, Mapping)}
    task = values.get("_task_name_")
    drizzle = _same(str(task), _DRIZZLE_TASK) or any(_same(s, _DRIZZLE_FINAL) for s in sections)
    layer: Layer = {}
    problems: list[str] = []
    aside: list[str] = []
    top = {str(k): v for k, v in values.items() if not isinstance(v, Mapping)}
    for title, content in ({None: top} | sections).items():
        if title is not None and _same(title, "_rules_"):
            continue
        homes = {key.section for key in keys().values() if key.section}
        home = next((s for s in homes if title is not None and _same(s, title)), None)
        if title is not None and home is None and not drizzle:
            close = difflib.get_close_matches(title.upper(), homes, n=1)
            hint = f"; did you mean [{close[0]}]?" if close else ""
            problems.append(f"{origin}: [{printable(title)}] is not a known section{hint}")
            continue
        for name, value in content.items():
            key = keys().get(name)
            if name.lower() in _BOOKKEEPING:
                continue
            is_at_home = key is not None and key.section == home and bool(title) == bool(home)
            is_drizzle_final = (
                drizzle and name == "final_bits" and _same(title or "", _DRIZZLE_FINAL)
            )
            if is_at_home or is_drizzle_final:
                layer[name] = (value, origin)
            elif drizzle:
                aside.append(name if title is None else f"[{title}] {name}")
            else:
                where = f"[{printable(title)}] " if title else ""
                hint = _suggestion(name, home)
                problems.append(f"{origin}: {where}{printable(name)} is not a known key{hint}")
    notes = [f"{origin}: left aside, of no use to static masks: {', '.join(aside)}"] * bool(aside)
    return layer, problems, notes


def parse(source: Path | list[str], origin: str) -> dict[str, Any]:
    """Read a configuration file, or its lines, as configobj does.

    Raises
    ------
    ConfigError
        If it is not there, not UTF-8, or has a syntax error: all of them, with
        their line numbers.
    """
    infile = str(source) if isinstance(source, Path) else source
    try:
        if isinstance(source, Path):
            infile = source.read_text(encoding="utf-8-sig").splitlines()
        parsed = ConfigObj(infile, interpolation=False)
    except ConfigObjError as error:
        errors = getattr(error, "errors", None) or [error]
        raise ConfigError(
            *(
                f"{origin}, line {e.line_number}: {printable((e.line or '').strip())!r} "
                f"is not understood: {_reason(e)}"
                for e in errors
            )
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{origin}: is not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{origin}: cannot be read: {error.strerror}") from None
    return dict(parsed)


def _reason(error: ConfigObjError) -> str:
    """Return configobj's reason for a syntax error, without its own line number."""
    return str(error).split(" at line ")[0].rstrip(".").lower() or "syntax error"


def merge(
    *,
    config_file: str | Path | None = None,
    mapping: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, tuple[Any, str]] | None = None,
) -> Configuration:
    """Merge all sources of configuration and check the result.

    Later ones win: the packaged defaults, `config_file`, `mapping`,
    `environment`, `flags`. A value of None, INDEF or blank for a key that
    cannot be None is taken as not given.

    Parameters
    ----------
    config_file : str or Path, optional
        A file in the layout of ``config/staticmask.cfg``, or an
        ``astrodrizzle.cfg``.
    mapping : mapping, optional
        The same as keys and sections; a ConfigObj is one.
    environment : mapping, optional
        Environment variables, of which the ``STATICMASK_`` ones count.
    flags : mapping, optional
        Values by key, each with the name by which the user gave it.

    Returns
    -------
    Configuration

    Raises
    ------
    ConfigError
        Every unknown key and every value out of range, from all sources.
    """
    problems: list[str] = []
    notes: list[str] = []
    layers: list[Layer] = []
    sources: list[tuple[Mapping[str, Any], str]] = [(parse(DEFAULTS_FILE, "default"), "default")]
    if config_file is not None:
        name = str(config_file)
        path = Path(name).expanduser()
        sources.append((parse(path, printable(name)), printable(name)))
    if mapping is not None:
        sources.append((mapping, "configObj"))
    for values, origin in sources:
        layer, wrong, aside = read_mapping(values, origin)
        layers.append(layer)
        problems += wrong
        notes += aside
    layer, aside = _environment_layer(environment or {})
    layers += [layer, dict(flags or {})]
    notes += aside

    merged: Layer = {}
    for layer in layers:
        for name, (value, origin) in layer.items():
            if is_given(value) or _takes_none(name):
                merged[name] = (value, origin)
    return _validated(merged, problems, notes)


def _takes_none(name: str) -> bool:
    return default(name) is None


def _environment_layer(environment: Mapping[str, str]) -> tuple[Layer, list[str]]:
    layer: Layer = {}
    notes: list[str] = []
    for variable, value in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or not value:
            continue
        if name in keys():
            layer[name] = (value, variable)
        else:
            # A stray variable must not stop a night's run, but it must be heard of.
            notes.append(f"{variable} in the environment is no option{_suggestion(name, None)}")
    return layer, notes


def _validated(merged: Layer, problems: list[str], notes: list[str]) -> Configuration:
    check = validator()
    values = {}
    for name, key in keys().items():
        value, origin = merged[name]
        try:
            values[name] = check.check(key.check, value)
        except ValidateError:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            where = origin if origin.startswith(("-", ENVIRONMENT_PREFIX)) else None
            where = f"{where}:" if where else f"{origin}: {key.place} ="
            problems.append(f"{where} {printable(shown)!r} is not {key.allowed}")
    if problems:
        raise ConfigError(*problems)
    return Configuration(Settings(**values), merged, tuple(notes))
