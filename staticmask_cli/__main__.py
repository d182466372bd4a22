"""``python -m staticmask_cli``, and the entry point of the ``staticmask`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; also a Ctrl-C while it is still being imported ends it in one line."""
    try:
        from staticmask_cli.cli import main as command  # noqa: PLC0415 - see above
    except KeyboardInterrupt:
        sys.exit(130)
    command(prog_name="staticmask")


if __name__ == "__main__":
    main()
