"""Write staticmask.1 from staticmask.1.in and the commands: ``python man/generate.py``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from staticmask_cli._version import __version__
from staticmask_cli.cli.main import main
from staticmask_cli.config.spec import keys

HERE = Path(__file__).parent
DEFAULT_COMMAND = "make"


def roff(text: str) -> str:
    """Return text escaped for roff, on one line."""
    text = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text


def sentences(text: str) -> str:
    """Return text with each sentence on a line of its own, as man pages have it."""
    return "\n".join(roff(part) for part in re.split(r"(?<=[.?]) +(?=[A-Z0-9])", text.strip()))


def option_entry(option: click.Option) -> str:
    """Return one option with its help."""
    names = [*option.opts, *option.secondary_opts]
    names.sort(key=lambda name: (name.startswith("--"), name in option.secondary_opts))
    heading = ", ".join(f"\\fB{roff(name)}\\fR" for name in names)
    if option.metavar:
        heading += f" \\fI{roff(option.metavar)}\\fR"
    return f".TP\n{heading}\n{sentences(option.help or '')}"


def options_of(command: click.Command) -> list[click.Option]:
    """Return a command's options, without its help option."""
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def synopsis(name: str, command: click.Command) -> str:
    """Return how a command is called."""
    arguments = " ".join(
        p.make_metavar(click.Context(command))
        for p in command.params
        if isinstance(p, click.Argument)
    )
    shown = f"[{name}]" if name == DEFAULT_COMMAND else name
    return f"\\fBstaticmask\\fR {roff(shown)} [\\fIOPTIONS\\fR] \\fI{roff(arguments)}\\fR"


def man_page() -> str:
    """Return the man page."""
    commands = dict(main.commands)
    make = commands[DEFAULT_COMMAND]
    shared = {option.name for option in options_of(make)}
    entries = []
    for name, command in commands.items():
        entries.append(f".TP\n.B {name}\n{sentences(command.help or '')}")
        own = [option for option in options_of(command) if option.name not in shared]
        if name != DEFAULT_COMMAND and own:
            entries += [".RS", *map(option_entry, own), ".RE"]
    examples = re.findall(r"^ +(staticmask .*)$", main.epilog or "", re.MULTILINE)
    variables = [f"STATICMASK_{name.upper()}" for name in keys()]
    parts = {
        "VERSION": __version__,
        "SYNOPSIS": "\n.br\n".join(synopsis(*item) for item in commands.items()),
        "COMMANDS": "\n".join(entries),
        "OPTIONS": "\n".join(map(option_entry, options_of(make))),
        "ENVIRONMENT": ".BR " + ' ", " '.join(variables),
        "EXAMPLES": "\n".join(map(roff, examples)),
    }
    template = (HERE / "staticmask.1.in").read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], template)


if __name__ == "__main__":
    (HERE / "staticmask.1").write_text(man_page(), encoding="utf-8")
