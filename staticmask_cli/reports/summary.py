"""The results of a run as a JSON document for scripts; its schema is ``summary.schema.json``."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from staticmask_cli._version import __version__
from staticmask_cli.errors import ConfigError, printable
from staticmask_cli.exposures.urls import without_secrets
from staticmask_cli.files.side_files import SideFile
from staticmask_cli.settings import MinExposures, Settings

if TYPE_CHECKING:
    from staticmask_cli.exposures.instruments import ChipIdentity
    from staticmask_cli.masks.quality import QualityCheck
    from staticmask_cli.masks.records import ChipRecord
    from staticmask_cli.reports.report import ExposureReport, MaskReport, RunRecord

#: Version of the schema. Keys may be added without a new version, but not removed or redefined.
SCHEMA_VERSION = 1

SCHEMA_FILE = Path(__file__).parent / "summary.schema.json"

_STANDARD_OUTPUT = "-"


class Summary:
    """The summary of one run, which is completed during the run.

    Parameters
    ----------
    file : str or None
        Name of the file; ``-`` for standard output; None for no summary.

    Attributes
    ----------
    settings : Settings or None
        The settings of the run, once they are known.
    origins : mapping of str to str
        The origin of each setting.
    run_record : RunRecord or None
        The record of the run, once it has begun.
    """

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._began = time.monotonic()
        self._started = dt.datetime.now(dt.UTC)
        self.settings: Settings | None = None
        self.origins: Mapping[str, str] = {}
        self.run_record: RunRecord | None = None

    @property
    def takes_standard_output(self) -> bool:
        """Whether it goes to standard output, to which nothing else may be written then."""
        return self._file == _STANDARD_OUTPUT

    def check(self) -> None:
        """Check before the run that the summary can be written.

        Raises
        ------
        ConfigError
            If it cannot be written.
        """
        if self._file is None or self.takes_standard_output:
            return
        if problem := self._side(self._file).problem():
            self.forget()
            raise ConfigError(problem)

    def forget(self) -> None:
        """Do not write a summary."""
        self._file = None

    def write(self, status: int, errors: tuple[str, ...], echo: Callable[[str], None]) -> None:
        """Write it whole or not at all; a second call does nothing.

        Parameters
        ----------
        status : int
            The exit status.
        errors : tuple of str
            The errors of the run, one line each.
        echo : callable
            Writes to standard output.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        file = self._file
        if file is None:
            return
        import json  # noqa: PLC0415 - seldom needed

        text = json.dumps(_as_json(self.document(status, errors)), indent=1, allow_nan=False) + "\n"
        self.forget()
        unfinished = self.run_record.unfinished if self.run_record else []
        unfinished.append("--summary")
        if file == _STANDARD_OUTPUT:
            echo(text)
        else:
            self._side(file).write(text.encode("ascii"))
        unfinished.remove("--summary")

    def _side(self, file: str) -> SideFile:
        return SideFile(file, "--summary", "summary", b'{\n "schema_version": ')

    def document(self, status: int, errors: tuple[str, ...]) -> dict[str, Any]:
        """Return the document, in JSON types."""
        run_record = self.run_record
        masks = run_record.masks if run_record else ()
        paths = {mask.identity: mask.path for mask in masks}
        return {
            "schema_version": SCHEMA_VERSION,
            "program": "staticmask",
            "version": __version__,
            "started": self._started.isoformat(timespec="milliseconds"),
            "timings": {
                stage: round(seconds, 6)
                for stage, seconds in [
                    *(run_record.timings.items() if run_record else ()),
                    ("total", time.monotonic() - self._began),
                ]
            },
            "exit_status": status,
            "dry_run": run_record.dry_run if run_record else False,
            "settings": self._settings(),
            "exposures": [
                _exposure(e, paths) for e in (run_record.exposures if run_record else ())
            ],
            "masks": [_mask(mask) for mask in masks],
            "answer": run_record.answer if run_record else None,
            "warnings": run_record.warnings if run_record else (),
            "errors": errors,
        }

    def _settings(self) -> dict[str, Any] | None:
        if self.settings is None:
            return None
        found = {}
        settings = without_secrets(self.settings)
        for name, origin in self.origins.items():
            value = getattr(settings, name)
            if isinstance(value, MinExposures):
                value = value.plain
            found[name] = {"value": value, "origin": origin}
        return found


def _exposure(exposure: ExposureReport, paths: dict[ChipIdentity, str]) -> dict[str, Any]:
    return {
        "path": exposure.path,
        "state": exposure.state,
        "reasons": exposure.reasons,
        "chips": [
            _record(record) | {"identity": asdict(identity), "mask": paths.get(identity)}
            for identity, record in exposure.chips
        ],
    }


def _record(record: ChipRecord) -> dict[str, Any]:
    return {
        "file": record.file,
        "extver": record.extver,
        "used": record.used,
        "reason": record.reason,
        "mode": record.mode,
        "rms": record.rms,
        "local_background": record.local_background,
        "local_noise": record.local_noise,
        "threshold": record.threshold,
        "nbins": record.nbins,
        "n_low": record.n_low,
        "n_flagged": record.n_flagged,
        "n_finite": record.n_finite,
        "lowest": record.lowest,
        "median": record.median,
        "noise": record.noise,
        "n_clustered": record.n_clustered,
        "header_hash": record.header_hash,
        "datasum": record.datasum,
        "pixel_hash": record.pixel_hash,
        "ccdchip": record.ccdchip,
        "unit": record.unit,
        "date_obs": record.date_obs,
        "target": record.target,
        "filter": record.filter,
        "exposure_time": record.exposure_time,
    }


def _mask(mask: MaskReport) -> dict[str, Any]:
    chips = mask.quality.chips or ((),) * len(mask.chips)  # none after a dry run
    return {
        "path": mask.path,
        "state": mask.state,
        "identity": asdict(mask.identity),
        "bad": mask.bad,
        "total": mask.total,
        "exposures": mask.exposures,
        "sha256": mask.sha256,
        "quality_checks": list(map(_check, mask.quality.mask)),
        "chips": [
            _record(record) | {"quality_checks": list(map(_check, checks))}
            for record, checks in zip(mask.chips, chips, strict=True)
        ],
    }


def _check(check: QualityCheck) -> dict[str, Any]:
    return {
        "name": check.name,
        "value": check.value,
        "limit": check.limit,
        "failed": check.failed,
        "text": check.text if check.failed else "",
    }


def _as_json(value: Any) -> Any:
    """Return a value in JSON types: without NaN, and without control characters in text."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else printable(value)
