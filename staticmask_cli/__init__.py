"""Static bad-pixel masks from calibrated Hubble exposures.

The public names are `create_masks`, `createMask` (for scripts written for
DrizzlePac), `sweep`, `explain`, `compare` and `recount`, the errors they raise
and `__version__`. They are imported when
they are first used: importing this package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from staticmask_cli._version import __version__
    from staticmask_cli.api import create_masks, createMask
    from staticmask_cli.asking import compare, explain, recount, sweep
    from staticmask_cli.errors import ConfigError, InputError, OutputError, StaticMaskError

__all__ = [
    "ConfigError",
    "InputError",
    "OutputError",
    "StaticMaskError",
    "__version__",
    "compare",
    "createMask",
    "create_masks",
    "explain",
    "recount",
    "sweep",
]

_HOMES = {
    "__version__": "_version",
    "createMask": "api",
    "create_masks": "api",
    "compare": "asking",
    "explain": "asking",
    "recount": "asking",
    "sweep": "asking",
    "ConfigError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "StaticMaskError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - not before it is needed

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
