"""``python -m staticmask_cli``, and the entry point of the ``staticmask`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; a signal during its import also ends it with a one-line message."""
    try:
        from staticmask_cli.files.signals import install_handlers  # noqa: PLC0415 - see above

        install_handlers()
    except KeyboardInterrupt:
        sys.stderr.write("staticmask: error: interrupted\n")
        sys.exit(130)
    from staticmask_cli.cli.main import main as command  # noqa: PLC0415 - see above

    command(prog_name="staticmask")


if __name__ == "__main__":
    main()
