"""Static bad-pixel masks from calibrated Hubble exposures.

The public names are `create_masks`, `createMask` (for scripts written for
DrizzlePac), `sweep`, `explain`, `compare`, `recount`, `apply`, `export`, `import_mask`,
`edit` and `astrodrizzle`, `StaticMask` and the other types of their results, the errors
that they raise, and `__version__`. Each is imported on first use, so that importing this
package is fast.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, which takes longer to import than everything else here
if TYPE_CHECKING:
    from typing import Any

    from staticmask_cli._version import __version__
    from staticmask_cli.api import (
        apply,
        astrodrizzle,
        compare,
        create_masks,
        createMask,
        edit,
        explain,
        export,
        import_mask,
        recount,
        sweep,
    )
    from staticmask_cli.errors import ConfigError, InputError, OutputError, StaticMaskError
    from staticmask_cli.masking.apply import FlaggedChip
    from staticmask_cli.masking.compare import Difference
    from staticmask_cli.masking.explain import Explanation, PixelInChip
    from staticmask_cli.masking.export import Export
    from staticmask_cli.masking.sweep import SweepRow
    from staticmask_cli.masks.editing import Edit
    from staticmask_cli.masks.quality import Quality, QualityCheck
    from staticmask_cli.masks.records import ChipRecord
    from staticmask_cli.masks.static_mask import StaticMask
    from staticmask_cli.reports.report import ExposureReport, MaskReport, Report

__all__ = [
    "ChipRecord",
    "ConfigError",
    "Difference",
    "Edit",
    "Explanation",
    "Export",
    "ExposureReport",
    "FlaggedChip",
    "InputError",
    "MaskReport",
    "OutputError",
    "PixelInChip",
    "Quality",
    "QualityCheck",
    "Report",
    "StaticMask",
    "StaticMaskError",
    "SweepRow",
    "__version__",
    "apply",
    "astrodrizzle",
    "compare",
    "createMask",
    "create_masks",
    "edit",
    "explain",
    "export",
    "import_mask",
    "recount",
    "sweep",
]

_HOMES = {
    "__version__": "_version",
    "apply": "api",
    "astrodrizzle": "api",
    "compare": "api",
    "createMask": "api",
    "create_masks": "api",
    "edit": "api",
    "explain": "api",
    "export": "api",
    "import_mask": "api",
    "recount": "api",
    "sweep": "api",
    "ConfigError": "errors",
    "InputError": "errors",
    "OutputError": "errors",
    "StaticMaskError": "errors",
    "FlaggedChip": "masking.apply",
    "Difference": "masking.compare",
    "Explanation": "masking.explain",
    "Export": "masking.export",
    "PixelInChip": "masking.explain",
    "SweepRow": "masking.sweep",
    "Edit": "masks.editing",
    "Quality": "masks.quality",
    "QualityCheck": "masks.quality",
    "ChipRecord": "masks.records",
    "StaticMask": "masks.static_mask",
    "ExposureReport": "reports.report",
    "MaskReport": "reports.report",
    "Report": "reports.report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only when needed

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
