"""``python -m staticmask_cli``, and the entry point of the ``staticmask`` command."""

from __future__ import annotations

from staticmask_cli.cli import main

if __name__ == "__main__":
    main(prog_name="staticmask")
