"""Edit the configuration in the user's editor, for --editpars."""

from __future__ import annotations

import click

from staticmask_cli.config.merging import Configuration, merge, parse
from staticmask_cli.config.spec import Layer, dump
from staticmask_cli.errors import ConfigError

_ORIGIN = "edited configuration"
_MARK = "#! "
_MOST_TRIES = 20


def edit(layer: Layer) -> Configuration | None:
    """Let the user edit a merged configuration until it is valid or cancelled.

    Parameters
    ----------
    layer : dict
        Every key's value and origin.

    Returns
    -------
    Configuration or None
        The saved configuration; None if it was not saved.

    Raises
    ------
    ConfigError
        If the editor cannot be run.
    """
    text: str | None = dump(layer)
    before: list[str] = []
    for _ in range(_MOST_TRIES):
        try:
            text = click.edit(text, extension=".cfg", require_save=True)
        except click.ClickException as error:
            raise ConfigError(f"--editpars: {error.format_message()}") from None
        except OSError as error:
            raise ConfigError(
                f"--editpars: the edited file cannot be read: {error.strerror}"
            ) from None
        if text is None:
            return None
        lines = [line for line in text.split("\n") if not line.startswith(_MARK)]
        try:
            return _check(lines)
        except ConfigError as error:
            if lines == before:  # an editor that is a script would never fix them
                raise
            before = lines
            text = "\n".join([*_complaints(lines, len(error.problems)), *lines])
    raise ConfigError(f"--editpars: still invalid after {_MOST_TRIES} tries; nothing was run")


def _check(lines: list[str]) -> Configuration:
    return merge(mapping=parse(lines, _ORIGIN), mapping_name=_ORIGIN)


def _complaints(lines: list[str], number: int) -> list[str]:
    """Return the problems of these lines, as comments to put above them."""
    try:
        _check([_MARK] * (number + 1) + lines)  # line numbers count the complaints
    except ConfigError as error:
        advice = "Fix and save, or quit without saving to cancel."
        return [_MARK + line for line in (*error.problems, advice)]
    raise AssertionError("comments changed the configuration")
