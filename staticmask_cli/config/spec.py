"""The configspec: the keys of the configuration, with their checks and help."""

from __future__ import annotations

import functools
import textwrap
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from configobj import ConfigObj, ConfigObjError
from configobj.validate import Validator

from staticmask_cli.config.checks import ALLOWED, validator
from staticmask_cli.errors import ConfigError, printable

# In a wheel, the two files are beside this module; in a checkout, in config/ at the top.
_HERE = Path(__file__).parent
_FOLDERS = (_HERE, _HERE.parents[1] / "config")
_FOLDER = next((f for f in _FOLDERS if (f / "staticmask.cfgspc").is_file()), _HERE)
DEFAULTS_FILE = _FOLDER / "staticmask.cfg"
SPEC_FILE = _FOLDER / "staticmask.cfgspc"

# Headings of sections with DrizzlePac's name, or without a name.
_HEADINGS = {None: "Input", "STEP 1: STATIC MASK": "Mask"}

#: Origin of the packaged defaults.
DEFAULT = "default"
#: The values of a source: key -> (value as written, origin).
Layer = dict[str, tuple[Any, str]]


class Key(NamedTuple):
    """One key of the configspec.

    Attributes
    ----------
    name : str
        The key, and the option's name with ``_`` for ``-``.
    section : str or None
        Its section; None at the top.
    check : str
        The configspec's check, for example ``number(min=0, default=4.0)``.
    help : str
        The comment before it.
    """

    name: str
    section: str | None
    check: str
    help: str

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        _, _, limits, _ = Validator()._parse_with_caching(self.check)  # noqa: SLF001
        return ALLOWED[self.kind].format(**limits)

    @property
    def kind(self) -> str:
        """The name of the check."""
        return self.check.split("(")[0]

    @property
    def summary(self) -> str:
        """The first sentence of the help, without its full stop."""
        return self.help.split(". ")[0].removesuffix(".")

    @property
    def heading(self) -> str:
        """The heading in ``--help`` under which the key is listed."""
        return _HEADINGS.get(self.section) or str(self.section).capitalize()

    @property
    def place(self) -> str:
        """The key with its section, as messages name it."""
        return f"[{self.section}] {self.name}" if self.section else self.name


@functools.cache
def keys() -> Mapping[str, Key]:
    """Return the keys of the configspec by name, in its order."""
    spec = ConfigObj(
        str(SPEC_FILE), interpolation=False, list_values=False, _inspec=True, file_error=True
    )
    # The comment of the first key is the last paragraph of the initial comment.
    first = spec.initial_comment
    blank = max(i for i, line in enumerate(first) if not line.strip())
    comments = {None: {**spec.comments, spec.scalars[0]: first[blank + 1 :]}}
    comments |= {section: spec[section].comments for section in spec.sections}
    found = {}
    for section, lines in comments.items():
        for name in (spec if section is None else spec[section]).scalars:
            text = " ".join(line.strip().lstrip("#").strip() for line in lines[name])
            check = (spec if section is None else spec[section])[name]
            found[name] = Key(name, section, check, text)
    return found


@functools.cache
def default(name: str) -> Any:
    """Return the default of one key, converted."""
    return validator().get_default_value(keys()[name].check)


def dump(layer: Layer, *, origins: bool = True) -> str:
    """Return a merged configuration as a commented file that can be read again.

    Parameters
    ----------
    layer : dict
        Value and origin of every key.
    origins : bool
        Whether to add the origin of each value as a comment.
    """
    out = ConfigObj(interpolation=False, indent_type="", write_empty_values=False)
    out.initial_comment = [
        "# Configuration of staticmask; see 'man staticmask'.",
        "# Use it with: staticmask --config FILE",
        "",
    ]
    for name, key in keys().items():
        if key.section and key.section not in out:
            out[key.section] = {}
            out.comments[key.section] = [""]
        place = out[key.section] if key.section else out
        value, origin = layer[name]
        is_list = isinstance(value, (list, tuple))
        place[name] = [str(item) for item in value] if is_list else str(value).strip()
        place.comments[name] = _comment(key) + (
            [f"# Set by: {printable(origin)}"] if origins else []
        )
        _check_writable(key, place[name])
    return "\n".join([*out.write(), ""])


def _check_writable(key: Key, value: str | list[str]) -> None:
    """Refuse values that a file cannot represent: control characters, some quotes, bad text."""
    alone = ConfigObj({key.name: value}, interpolation=False)
    try:
        (line,) = alone.write()
        line.encode("utf-8")
        same = ConfigObj([line], interpolation=False)[key.name] == value
        same &= not any(unicodedata.category(character) == "Cc" for character in line)
    except (ConfigObjError, UnicodeEncodeError, ValueError):
        same = False
    if not same:
        shown = printable(value if isinstance(value, str) else ", ".join(value))
        raise ConfigError(f"{key.name}: '{shown}' cannot be written to a configuration file")


def _comment(key: Key) -> list[str]:
    return textwrap.wrap(key.help, 77, initial_indent="# ", subsequent_indent="# ")
