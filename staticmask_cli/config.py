"""The configuration: packaged file < user's file < environment < flags, merged and checked."""

from __future__ import annotations

import difflib
import os
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
_LONGEST_QUOTE = 80  # characters of a user's own text in a message
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


def suggestion(name: str, section: str | None = None) -> str:
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
    found = _Sorted(origin, drizzle=drizzle)
    found.section(None, {str(k): v for k, v in values.items() if not isinstance(v, Mapping)})
    for title, content in sections.items():
        found.section(title, content)
    return found.layer, found.problems, found.notes()


class _Sorted:
    """The keys of a configuration, on their way into known ones and the rest."""

    def __init__(self, origin: str, *, drizzle: bool) -> None:
        self.layer: Layer = {}
        self.problems: list[str] = []
        self._origin = origin
        self._drizzle = drizzle
        self._aside: list[str] = []

    def notes(self) -> list[str]:
        """Return a line on what was left aside, if anything was."""
        if not self._aside:
            return []
        return [f"{self._origin}: left aside, of no use to static masks: {', '.join(self._aside)}"]

    def section(self, title: str | None, content: Mapping[str, Any]) -> None:
        """Take in one section; `title` is None for the keys before any."""
        shown = f"[{printable(title)}]" if title is not None else ""
        homes = {key.section for key in keys().values()}
        home = next((s for s in homes if s and title and _same(s, title)), None)
        if title is None or home is not None:
            for name, value in content.items():
                self._key(name, value, home, f"{shown} {printable(name)}".strip())
        elif _same(title, "_rules_"):
            return
        elif self._drizzle:
            self._aside.append(shown)
            if _same(title, _DRIZZLE_FINAL) and "final_bits" in content:
                self.layer["final_bits"] = (content["final_bits"], self._origin)
        else:
            close = difflib.get_close_matches(title.upper(), filter(None, homes), n=1)
            hint = f"; did you mean [{close[0]}]?" if close else ""
            self.problems.append(f"{self._origin}: {shown} is not a known section{hint}")

    def _key(self, name: str, value: Any, home: str | None, shown: str) -> None:
        if name.lower() in _BOOKKEEPING:
            return
        if isinstance(value, Mapping):
            self.problems.append(f"{self._origin}: {shown} is not a known section")
        elif name in keys() and keys()[name].section == home:
            self.layer[name] = (value, self._origin)
        elif self._drizzle and home is None:
            self._aside.append(shown)
        else:
            hint = suggestion(name, home)
            self.problems.append(f"{self._origin}: {shown} is not a known key{hint}")


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
            # Not splitlines(), which also parts lines at form feeds and the like.
            with source.open(encoding="utf-8-sig") as file:
                infile = file.readlines()
        parsed = ConfigObj(infile, interpolation=False)
    except ConfigObjError as error:
        errors = getattr(error, "errors", None) or [error]
        raise ConfigError(
            *(
                f"{origin}, line {e.line_number}: '{_cut((e.line or '').strip())}' "
                f"is not understood: {_reason(e)}"
                for e in errors
            )
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{origin}: is not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{origin}: cannot be read: {error.strerror}") from None
    return dict(parsed)


def _cut(text: object) -> str:
    """Return text fit for a line of a message."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST_QUOTE else shown[: _LONGEST_QUOTE - 3] + "..."


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
    cannot be None is taken as not given, except in `flags`.

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
        if not name.strip() or "\0" in name:
            raise ConfigError(f"'{printable(name)}' is no name of a configuration file")
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's can raise
        sources.append((parse(path, printable(name)), printable(name)))
    if mapping is not None:
        sources.append((mapping, "configObj"))
    for values, origin in sources:
        layer, wrong, aside = read_mapping(values, origin)
        layers.append(layer)
        problems += wrong
        notes += aside
    layer, aside = _environment_layer(environment or {})
    layers.append(layer)
    notes += aside

    merged: Layer = {}
    for layer in layers:
        for name, (value, origin) in layer.items():
            if is_given(value) or default(name) is None:
                merged[name] = (value, origin)
    # What a user types must count: a blank one, from an unset shell variable
    # perhaps, is an error and not the default.
    for name, (value, origin) in (flags or {}).items():
        merged[name] = (value, origin)
        # Except a group's, for which blank is DrizzlePac's word for all.
        if isinstance(value, str) and not value.strip() and name != "group":
            what = origin if origin.startswith("-") else f"{origin} {name}"
            problems.append(f"{what} is empty; leave it out, or give {keys()[name].allowed}")
    return _validated(merged, problems, notes)


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
            close = difflib.get_close_matches(name, keys(), n=1)
            hint = f"; did you mean '{ENVIRONMENT_PREFIX}{close[0].upper()}'?" if close else ""
            notes.append(f"{printable(variable)} in the environment is no option{hint}")
    return layer, notes


def _validated(merged: Layer, problems: list[str], notes: list[str]) -> Configuration:
    check = validator()
    values = {}
    for name, key in keys().items():
        value, origin = merged[name]
        try:
            values[name] = check.check(key.check, value)
        except ValidateError:
            if isinstance(value, str) and not value.strip():
                continue  # a blank flag: told already
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            where = origin if origin.startswith(("-", ENVIRONMENT_PREFIX)) else None
            where = f"{where}:" if where else f"{origin}: {key.place} ="
            problems.append(f"{where} '{_cut(shown)}' is not {key.allowed}")
    if problems:
        raise ConfigError(*problems)
    return Configuration(Settings(**values), merged, tuple(notes))
