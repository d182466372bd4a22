"""Write staticmask.1 from staticmask.1.in and the commands: ``python man/generate.py``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from staticmask_cli._version import __version__
from staticmask_cli.cli.commands import SYNOPSIS
from staticmask_cli.cli.main import main
from staticmask_cli.config.spec import default, keys
from staticmask_cli.settings import KERNEL_VARIABLE

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
    key = keys().get(option.name or "")
    text = option.help or ""
    if key:  # the whole text, of which --help has the first sentence
        text = f"{key.help} Default: {default(key.name)}."
    return f".TP\n{heading}\n{sentences(text)}"


def options_of(command: click.Command) -> list[click.Option]:
    """Return a command's options, without its help option."""
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def described(command: click.Command) -> str:
    """Return what a command does: its help, without examples."""
    paragraphs = (command.help or "").split("\n\n")
    return "\n.PP\n".join(sentences(p) for p in paragraphs if "\b" not in p)


def man_page() -> str:
    """Return the man page."""
    commands = dict(main.commands)
    make = commands[DEFAULT_COMMAND]
    shared = {option.name for option in options_of(make)}
    entries = []
    for name, command in commands.items():
        own = [option for option in options_of(command) if option.name not in shared]
        entries += [f".SS {name}", described(command), *map(option_entry, own)]
    examples = re.findall(r"^ +(staticmask .*)$", make.help or "", re.MULTILINE)
    variables = [f"STATICMASK_{name.upper()}" for name in keys()]
    parts = {
        "VERSION": __version__,
        "SYNOPSIS": "\n.br\n".join(
            f".B staticmask\n{roff(line)}" for lines in SYNOPSIS.values() for line in lines
        ),
        "COMMANDS": "\n".join(entries),
        "OPTIONS": "\n".join(map(option_entry, options_of(make))),
        "ENVIRONMENT": ".BR " + ' ", " '.join(variables),
        "KERNEL": KERNEL_VARIABLE,
        "EXAMPLES": "\n".join(map(roff, examples)),
    }
    template = (HERE / "staticmask.1.in").read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: parts[match[1]], template)


if __name__ == "__main__":
    (HERE / "staticmask.1").write_text(man_page(), encoding="utf-8")
