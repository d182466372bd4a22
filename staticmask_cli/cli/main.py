"""The program: the first word is the command; without one, it is make."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from staticmask_cli.cli import commands
from staticmask_cli.cli.logs import log, start_logging
from staticmask_cli.cli.options import completed
from staticmask_cli.cli.terminal import discard_output
from staticmask_cli.errors import ConfigError
from staticmask_cli.files.signals import INTERRUPTED

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Program(click.Group):
    """A group of commands with the default ``make``."""

    def main(self, *arguments: Any, **more: Any) -> NoReturn:
        """Run a command and exit; usage errors are one line, like all others."""
        try:
            status = super().main(*arguments, **more | {"standalone_mode": False})
        except click.UsageError as error:
            program = error.ctx.command_path if error.ctx else "staticmask"
            start_logging(0, quiet=False)
            message = " ".join(error.format_message().split()).rstrip(".?")
            words = arguments[0] if arguments else more.get("args")
            misplaced = self._misplaced(words or sys.argv[1:])
            if misplaced and isinstance(error, click.NoSuchOption):
                message += f"; the command '{misplaced}' must be the first word"
            log.error("%s; try '%s --help'", message, program)
            status = ConfigError.exit_status
        except OSError as error:  # of the help, which click writes
            discard_output()
            status = 1
            if not isinstance(error, BrokenPipeError):
                start_logging(0, quiet=False)
                log.error("standard output cannot be written: %s", error.strerror)
        except click.Abort:
            sys.stderr.write("staticmask: error: interrupted\n")
            status = INTERRUPTED
        sys.exit(status)

    def _misplaced(self, words: list[str]) -> str | None:
        """Return a command that is not the first word, unless the first word is a command."""
        if not words or words[0] in self.commands:
            return None
        return next((word for word in words if word in self.commands), None)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``make`` in front, unless the first word is a command."""
        is_complete = bool(args) or not ctx.resilient_parsing  # while a shell completes it
        if is_complete and (not args or args[0] not in self.commands):
            args = ["make", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the first word: a command, or an option or a file for make."""
        of_make = commands.make.shell_complete(ctx, incomplete)
        is_option = incomplete.startswith("-")
        files = [] if is_option else completed(incomplete, "file")
        names = [] if is_option else super().shell_complete(ctx, incomplete)
        return [*names, *of_make, *files]


main = _Program(
    "staticmask",
    commands=[
        commands.make,
        commands.sweep,
        commands.explain,
        commands.compare,
        commands.recount,
        commands.apply,
        commands.export,
        commands.import_mask,
        commands.edit,
        commands.combine,
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
    add_help_option=False,
)
