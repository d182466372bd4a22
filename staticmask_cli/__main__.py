"""``python -m staticmask_cli``, and the entry point of the ``staticmask`` command."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def main() -> None:
    """Run the command and end the process."""
    # Collecting garbage would add a tenth to the start-up time: `cli.run` turns it on again.
    gc.disable()
    # Vectors are short here, and the threads of OpenBLAS take long to start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        _run()
    except SystemExit as end:
        if isinstance(end.code, int):
            _end(end.code)
        raise


def _run() -> None:
    """Run the command; a signal during its import also ends it with a one-line message."""
    try:
        from staticmask_cli.files.signals import install_handlers  # noqa: PLC0415 - see above

        install_handlers()
    except KeyboardInterrupt:
        sys.stderr.write("staticmask: error: interrupted\n")
        sys.exit(130)
    from staticmask_cli.cli.main import main as command  # noqa: PLC0415 - see above

    command(prog_name="staticmask")


def _end(status: int) -> None:
    """End the process without taking the interpreter apart, which takes 60 ms after astropy.

    What others can notice happens as usual: functions registered with `atexit` are called
    (by logging, tempfile, multiprocessing and others), and output is flushed. If that fails,
    or if threads are running, this returns, and Python ends the process in its own way.
    """
    import threading  # noqa: PLC0415 - imported already, but not before the signal handlers

    if threading.active_count() > 1:
        return
    atexit._run_exitfuncs()  # noqa: SLF001 - what Python itself calls
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            if stream is sys.stdout:  # not standard error: nothing could report it
                return
    os._exit(status)


if __name__ == "__main__":
    main()
