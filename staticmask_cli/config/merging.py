"""The configuration: packaged file < user's file < environment < flags, merged and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from configobj import ConfigObj, ConfigObjError, DuplicateError
from configobj.validate import ValidateError

from staticmask_cli.config.checks import RefusedError, is_given, native, validator
from staticmask_cli.config.spec import DEFAULT, DEFAULTS_FILE, Layer, default, keys
from staticmask_cli.errors import ConfigError
from staticmask_cli.settings import KERNEL_OFF, KERNEL_ON, KERNEL_VARIABLE, Settings

ENVIRONMENT_PREFIX = "STATICMASK_"
#: Origin of an argument of a Python function.
ARGUMENT = "argument"

# DrizzlePac's own bookkeeping in a .cfg file, which is ignored.
_BOOKKEEPING = ("_task_name_", "_rules_", "updatewcs")
_LONGEST_QUOTE = 80  # characters of a user's own text in a message
_DRIZZLE_TASK = "astrodrizzle"
_DRIZZLE_FINAL = "STEP 7: DRIZZLE FINAL COMBINED IMAGE"


class Configuration(NamedTuple):
    """A merged and valid configuration.

    Attributes
    ----------
    settings : Settings
        The values, converted.
    layer : dict
        The values as written, each with its origin.
    notes : tuple of str
        Ignored parts, for a verbose run.
    warnings : tuple of str
        Warnings about any use of it.
    of_a_run : tuple of str
        Warnings that matter only when masks are made.
    """

    settings: Settings
    layer: Layer
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    of_a_run: tuple[str, ...] = ()

    @property
    def origins(self) -> dict[str, str]:
        """The origin of each value."""
        return {name: origin for name, (_, origin) in self.layer.items()}


def _same(left: str, right: str) -> bool:
    return " ".join(left.split()).casefold() == " ".join(right.split()).casefold()


def suggestion(name: str) -> str:
    """Return a hint at the key that was probably intended."""
    close = _closest(name, keys())
    return f"; did you mean {close!r}?" if close else f"; the keys are {', '.join(keys())}"


def _closest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably intended."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    return next(iter(get_close_matches(word, words, n=1)), None)


@dataclass(slots=True)
class Source:
    """The values of one source.

    Attributes
    ----------
    layer : dict
        The known keys.
    problems : list of str
        A line for each unknown key or section.
    notes : list of str
        Ignored parts, which belong to other tasks of DrizzlePac.
    warnings : list of str
        Values that were used although misplaced, and unknown variables.
    """

    layer: Layer = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_mapping(values: Mapping[str, Any], origin: str) -> Source:
    """Separate the known keys of a configuration in DrizzlePac's layout from others.

    Parameters
    ----------
    values : mapping
        Keys and sections, as configobj reads them.
    origin : str
        Their origin for messages, usually a file name.

    Returns
    -------
    Source
    """
    sections = {str(k): v for k, v in values.items() if isinstance(v, Mapping)}
    task = values.get("_task_name_")
    drizzle = _same(str(task), _DRIZZLE_TASK) or any(_same(s, _DRIZZLE_FINAL) for s in sections)
    found = _Sorted(origin, drizzle=drizzle)
    found.section(None, {str(k): v for k, v in values.items() if not isinstance(v, Mapping)})
    for title, content in sections.items():
        found.section(title, content)
    return found.source()


class _Sorted:
    """Separates the known keys of a configuration from others."""

    def __init__(self, origin: str, *, drizzle: bool) -> None:
        self._source = Source()
        self._origin = origin
        self._drizzle = drizzle
        self._ignored: list[str] = []
        self._misplaced: list[tuple[str, Any, str]] = []

    def source(self) -> Source:
        """Return the sorted source, with a note on the ignored keys."""
        found = self._source
        for name, value, shown in self._misplaced:
            section = keys()[name].section
            home = f"in [{section}]" if section else "at the top, before any section"
            line = f"{self._origin}: {shown} belongs {home}"
            if name in found.layer:
                found.problems.append(f"{line}, and is given twice; keep one of them")
            else:
                found.layer[name] = (native(value), self._origin)
                found.warnings.append(f"{line}; used all the same")
        if self._ignored:
            ignored = ", ".join(self._ignored)
            found.notes.append(f"{self._origin}: ignored: {ignored}")
        return found

    def section(self, title: str | None, content: Mapping[str, Any]) -> None:
        """Add one section; `title` is None for the keys before the first."""
        shown = f"[{title}]" if title is not None else ""
        homes = {key.section for key in keys().values()}
        home = next((s for s in homes if s and title and _same(s, title)), None)
        if title is None or home is not None:
            for name, value in content.items():
                self._key(name, value, home, f"{shown} {name}".strip())
        elif _same(title, "_rules_"):
            return
        elif self._drizzle:
            self._ignored.append(shown)
            if _same(title, _DRIZZLE_FINAL) and "final_bits" in content:
                self._source.layer["final_bits"] = (native(content["final_bits"]), self._origin)
        else:
            close = _closest(title.upper(), filter(None, homes))
            hint = f"; did you mean [{close}]?" if close else ""
            self._source.problems.append(f"{self._origin}: {shown} is not a known section{hint}")

    def _key(self, name: str, value: Any, home: str | None, shown: str) -> None:
        if name.lower() in _BOOKKEEPING:
            return
        if isinstance(value, Mapping):
            self._source.problems.append(f"{self._origin}: {shown} is not a known section")
        elif name in keys() and keys()[name].section == home:
            self._source.layer[name] = (native(value), self._origin)
        elif name in keys():
            self._misplaced.append((name, value, shown))
        elif self._drizzle and home is None:
            self._ignored.append(shown)
        else:
            hint = suggestion(name)
            self._source.problems.append(f"{self._origin}: {shown} is not a known key{hint}")


def parse(source: Path | list[str], origin: str) -> dict[str, Any]:
    """Parse a configuration file, or its lines, with configobj.

    Raises
    ------
    ConfigError
        If it cannot be read, is not UTF-8 or has syntax errors, each with its
        line number.
    """
    lines = _lines(source, origin) if isinstance(source, Path) else source
    # Comments in other programs; configobj would read keys or values.
    wrong = {
        number: f"'{_cut(line.strip())}' is not understood: comments begin with #, not with ;"
        for number, line in enumerate(lines, 1)
        if line.lstrip().startswith(";")
    }
    try:
        parsed = ConfigObj(
            ["#" if number in wrong else line for number, line in enumerate(lines, 1)],
            interpolation=False,
        )
    except ConfigObjError as error:
        for e in getattr(error, "errors", None) or [error]:
            wrong[e.line_number] = f"'{_cut((e.line or '').strip())}' {_reason(e)}"
    if wrong:
        raise ConfigError(*(f"{origin}, line {n}: {wrong[n]}" for n in sorted(wrong)))
    return dict(parsed)


def _lines(path: Path, origin: str) -> list[str]:
    try:
        # Not splitlines(), which also splits at form feeds.
        with path.open(encoding="utf-8-sig") as file:
            return file.readlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{origin}: is not a text file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{origin}: cannot be read: {error.strerror}") from None


def _cut(text: object) -> str:
    """Shorten text for a message."""
    shown = str(text)
    return shown if len(shown) <= _LONGEST_QUOTE else shown[: _LONGEST_QUOTE - 3] + "..."


def _reason(error: ConfigObjError) -> str:
    """Return the reason for a syntax error: configobj's, without its own line number."""
    if isinstance(error, DuplicateError):
        what = "section" if (error.line or "").lstrip().startswith("[") else "key"
        return f"is given twice: the {what} is in a line above; keep one of them"
    reason = str(error).split(" at line ")[0].rstrip(".").lower()
    return f"is not understood: {reason or 'syntax error'}"


def merge(
    *,
    config_file: str | Path | None = None,
    mapping: Mapping[str, Any] | None = None,
    mapping_name: str = "configObj",
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
        The same as keys and sections, such as a ConfigObj.
    mapping_name : str
        Its name in messages.
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
    defaults = read_mapping(parse(DEFAULTS_FILE, DEFAULT), DEFAULT)
    sources = [defaults]
    files: dict[str, list[str]] = {}
    if config_file is not None:
        name = str(config_file)
        if not name.strip() or "\0" in name:
            raise ConfigError(f"'{name}' is not the name of a configuration file")
        path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's can raise
        # Read once, because it may be a pipe.
        lines = files[name] = _lines(path, name)
        sources.append(read_mapping(parse(lines, name), name))
    if mapping is not None:
        sources.append(read_mapping(mapping, mapping_name))
    sources.append(_environment(environment or {}))
    problems = [line for source in sources for line in source.problems]

    merged: Layer = {}
    for source in sources:
        for name, (value, origin) in source.layer.items():
            if is_given(value) or default(name) is None:
                merged[name] = (value, origin)
    # A blank flag, perhaps from an unset shell variable, is an error and not the
    # default, except for the group, where DrizzlePac uses blank for all.
    for name, (value, origin) in (flags or {}).items():
        merged[name] = (native(value), origin)
        if isinstance(value, str) and not value.strip() and name != "group":
            what = name if origin == ARGUMENT else origin
            problems.append(f"{what} is empty; leave it out, or give {keys()[name].allowed}")
    settings = _validated(merged, problems)
    return Configuration(
        settings,
        merged,
        notes=tuple(line for source in sources for line in source.notes),
        warnings=tuple(line for source in sources for line in source.warnings),
        of_a_run=_odd_for_a_run(settings, merged, files),
    )


def _odd_for_a_run(
    settings: Settings, merged: Layer, files: Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Return warnings about settings that are odd in a run, with their origins."""
    if not settings.static:
        return (f"static is off{_set_by('static', merged, files)}: no mask is made",)
    if settings.verify and not settings.update:
        by = _set_by("verify", merged, files)
        return (f"verify{by} does nothing without update: every exposure is read",)
    return ()


def _set_by(name: str, merged: Layer, files: Mapping[str, list[str]]) -> str:
    """Return the origin of a value, unless it is an option or argument."""
    origin = merged[name][1]
    if origin == ARGUMENT or origin.startswith("-"):
        return ""
    if origin in files:
        is_set = re.compile(rf"\s*(['\"]?){name}\1\s*=").match
        lines = enumerate(files[origin], 1)
        origin += next((f", line {number}" for number, line in lines if is_set(line)), "")
    return f" (set by {origin})"


def _environment(environment: Mapping[str, str]) -> Source:
    found = Source()
    for variable, value in environment.items():
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.startswith(ENVIRONMENT_PREFIX) or not value:
            continue
        if variable == KERNEL_VARIABLE:
            if value.strip().lower() not in ("", *KERNEL_OFF, *KERNEL_ON):
                found.warnings.append(f"{variable} is '{value}', not on or off; it is ignored")
        elif name in keys():
            found.layer[name] = (value, variable)
        else:
            # An unknown variable must not stop a nightly run; it is only reported.
            close = _closest(name, keys())
            hint = f"; did you mean '{ENVIRONMENT_PREFIX}{close.upper()}'?" if close else ""
            found.warnings.append(f"{variable} is not the environment variable of an option{hint}")
    return found


def _validated(merged: Layer, problems: list[str]) -> Settings:
    check = validator()
    values = {}
    for name, key in keys().items():
        value, origin = merged[name]
        try:
            values[name] = check.check(key.check, value)
        except ValidateError as error:
            if isinstance(value, str) and not value.strip():
                continue  # a blank flag, reported already
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            if origin.startswith(("-", ENVIRONMENT_PREFIX)):
                where = f"{origin}:"
            else:
                where = f"{name}:" if origin == ARGUMENT else f"{origin}: {key.place} ="
            hint = "; comments begin with #" if re.search(r"\s;", str(shown)) else ""
            reason = (
                str(error) if isinstance(error, RefusedError) else f"is not {key.allowed}{hint}"
            )
            problems.append(f"{where} '{_cut(shown)}' {reason}")
    if problems:
        raise ConfigError(*problems)
    changed = frozenset(name for name, value in values.items() if value != default(name))
    return Settings(**values, changed=changed)
