"""Options of the commands, and their help by sections; those of keys come from the configspec."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from staticmask_cli.config.checks import checked_pixel, checked_sigmas
from staticmask_cli.config.spec import Key, default, keys
from staticmask_cli.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SHORT = {"output_dir": "-o", "jobs": "-j", "keep_going": "-k", "min_exposures": "-m"}
# Metavar of an option, by the check of its key; switches have none.
_METAVARS = {
    "background": "METHOD",
    "bits": "BITS",
    "folder": "DIR",
    "group": "GROUP",
    "integer": "N",
    "number": "X",
    "optional_file": "FILE",
    "optional_folder": "DIR",
    "positive": "X",
    "prefix": "TEXT",
    "scheduler": "ADDRESS",
    "shard": "I/N",
    "votes": "N",
}
_COMPLETED = {"DIR": "dir", "FILE": "file"}
_RUNNING = "Running"


class Option(click.Option):
    """An option with the heading under which the help lists it."""

    def __init__(self, *arguments: Any, heading: str = _RUNNING, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.heading = heading
        self.shell_complete_type = _COMPLETED.get(more.get("metavar") or "")

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return names and help; for a switch, names such as ``-k, --[no-]keep-going``."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        long = next(name for name in self.opts if name.startswith("--"))
        names = [name for name in self.opts if name != long]
        names.append(f"--[no-]{long[2:]}" if self.secondary_opts else long)
        shown = ", ".join(names) if len(names) > 1 else f"    {names[0]}"
        return f"{shown} {self.metavar}" if self.metavar else shown, record[1]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of files and folders."""
        if self.shell_complete_type:
            return completed(incomplete, self.shell_complete_type)
        return super().shell_complete(ctx, incomplete)


class Command(click.Command):
    """A command with options listed under headings.

    Parameters
    ----------
    parameters : callable
        Returns the options and arguments. They are made only for the command that runs,
        which saves milliseconds.
    synopsis : list of str
        The usage lines, without the name of the program.
    after : str
        Text after the options and a list of commands.
    """

    def __init__(
        self,
        *arguments: Any,
        parameters: Callable[[], list[click.Parameter]],
        synopsis: list[str],
        after: str = "",
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        del self.params
        self._parameters = parameters
        self._synopsis = synopsis
        self._after = after

    @cached_property
    def params(self) -> list[click.Parameter]:  # type: ignore[override]
        """Options and arguments."""
        return self._parameters()

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the synopsis."""
        program = ctx.find_root().command_path
        lines = [f"{program} {line}" for line in self._synopsis]
        formatter.write("Usage: " + "\n       ".join(lines) + "\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a section for each heading."""
        rows: dict[str, list[tuple[str, str]]] = {key.heading: [] for key in keys().values()}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                heading = parameter.heading if isinstance(parameter, Option) else _RUNNING
                rows[heading].append(record)
        width = max(len(name) for section in rows.values() for name, _ in section)
        for heading, section in rows.items():
            if section:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), text) for name, text in section])
        program = ctx.find_root().command
        if self._after and isinstance(program, click.Group):
            commands = program.commands.items()
            with formatter.section("Commands"):
                formatter.write_dl(
                    [(n.ljust(width), c.get_short_help_str(99)) for n, c in commands]
                )
            formatter.write(self._after)


def key_options(names: Iterable[str], required: Mapping[str, str]) -> list[Option]:
    """Return the options of configuration keys, in the order of the configspec.

    Parameters
    ----------
    names : iterable of str
        The keys, in any order.
    required : mapping of str to str
        For those whose default the command does not accept: what to show instead.
    """
    wanted = set(names)
    return [_key_option(key, required.get(name)) for name, key in keys().items() if name in wanted]


def _key_option(key: Key, required: str | None) -> Option:
    long = f"--{key.name.replace('_', '-')}"
    metavar = _METAVARS.get(key.kind)
    value = default(key.name)
    shown = f"default: {'on' if value is True else value}" if value not in (None, False) else ""
    shown = required or shown
    return Option(
        [
            *filter(None, [_SHORT.get(key.name)]),
            long if metavar else f"{long}/--no-{long[2:]}",
            key.name,
        ],
        heading=key.heading,
        default=None,
        metavar=metavar,
        help=key.summary + (f"  [{shown}]" if shown else ""),
    )


def given_keys(options: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return the configuration keys that were given as options or INPUT, each with its origin."""
    flags: dict[str, tuple[Any, str]] = {}
    if options["inputs"]:
        flags["input"] = (list(options["inputs"]), "INPUT")
    for name in keys():
        if name != "input" and options.get(name) is not None:
            off = "no-" if options[name] is False else ""
            flags[name] = (options[name], f"--{off}{name.replace('_', '-')}")
    return flags


def common_options() -> list[Option]:
    """Return the options that every command takes and that are not configuration keys."""
    return [
        Option(
            ["-c", "--config", "config_file"],
            metavar="FILE",
            help="Configuration file, also DrizzlePac's",
        ),
        Option(
            ["-v", "--verbose"],
            count=True,
            help="Report the statistics of each chip; -vv: more",
        ),
        Option(["-q", "--quiet"], is_flag=True, help="Print only errors"),
        Option(["--log-file"], metavar="FILE", help="Append all messages to FILE, with times"),
        Option(
            ["--summary", "summary_file"],
            metavar="FILE",
            help="Write a JSON summary, also of a failed run; -: stdout",
        ),
    ]


class Sigmas(click.ParamType[tuple[float, ...]]):
    """A comma-separated list of sigmas."""

    name = "sigmas"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Return the numbers as a tuple."""
        if isinstance(value, tuple):
            return value
        try:
            return checked_sigmas(map(float, value.split(",")))
        except ValueError:  # a ConfigError, too
            self.fail(f"{value!r} is not a list of numbers > 0, such as 3,3.5,4", param, ctx)


class Pixel(click.ParamType[tuple[int, int]]):
    """Column and row of a pixel."""

    name = "pixel"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return column and row."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", value, re.ASCII)
        try:
            return checked_pixel(int(match[1]), int(match[2])) if match else checked_pixel(0, 0)
        except ConfigError:
            self.fail(
                f"{value!r} is not the column and row of a pixel, from 1, such as 17,5", param, ctx
            )


def complete_files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell complete names of files."""
    return completed(incomplete, "file")


def completed(incomplete: str, kind: str) -> list[CompletionItem]:
    """Have the shell complete names of a kind: ``file`` or ``dir``."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - not for a run

    return [CompletionItem(incomplete, type=kind)]
