"""The command's options that are configuration keys: made from the configspec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from staticmask_cli.config import spec

# What the configspec does not tell of a key's option: short name, and the
# word that stands for its value; None for a switch.
OPTIONS: dict[str, tuple[str | None, str | None]] = {
    "static_sig": (None, "FLOAT"),
    "static": (None, None),
    "final_bits": (None, "TEXT"),
    "group": (None, "TEXT"),
    "output_dir": ("-o", "DIR"),
    "prefix": (None, "TEXT"),
    "jobs": ("-j", "N"),
    "include_empty": (None, None),
    "allow_duplicates": (None, None),
    "keep_going": ("-k", None),
    "any_product": (None, None),
    "update": (None, None),
    "overwrite": (None, None),
    "verify": (None, None),
    "lock_timeout": (None, "FLOAT"),
    "min_exposures": ("-m", "N"),
    "counts": (None, None),
    "report": (None, "FILE"),
    "preview": (None, "DIR"),
    "strict": (None, None),
    "max_low_excess": (None, "FLOAT"),
    "max_mode_offset": (None, "FLOAT"),
    "max_rms_ratio": (None, "FLOAT"),
    "max_clustered": (None, "FLOAT"),
    "max_single_exposure": (None, "FLOAT"),
    "max_threshold_depth": (None, "FLOAT"),
    "max_bad": (None, "FLOAT"),
}


def complete(kind: str) -> Callable[..., list[CompletionItem]]:
    """Return what has the shell complete names of files or folders."""
    return lambda _context, _parameter, incomplete: [CompletionItem(incomplete, type=kind)]


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every configuration key."""
    for name, (short, metavar) in reversed(OPTIONS.items()):
        flag = "--" + name.replace("_", "-")
        key = spec.keys()[name]
        value = spec.default(name)
        if metavar is None:
            text = flag if value else f"--no-{name.replace('_', '-')}"
            declared = [f"{flag}/--no-{name.replace('_', '-')}"]
        else:
            text = str(value)
            declared = [flag]
        if short:
            declared.insert(0, short)
        help_text = f"{key.help}  [default: {text}]"
        kind = {"DIR": "dir", "FILE": "file"}.get(metavar or "")
        command = click.option(
            *declared,
            name,
            default=None,
            metavar=metavar,
            help=help_text,
            shell_complete=complete(kind) if kind else None,
        )(command)
    return command
