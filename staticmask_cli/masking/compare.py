"""Comparison of masks with older ones: pixels gained and lost. Nothing is written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError
from staticmask_cli.exposures.inputs import are_masks, is_folder, resolve_masks
from staticmask_cli.exposures.instruments import ChipIdentity
from staticmask_cli.exposures.products import MASK_ENDING
from staticmask_cli.masking.exposure_loop import Progress
from staticmask_cli.masking.make import make_masks
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.reports.report import RunRecord
from staticmask_cli.settings import Settings

# Number of columns listed, unless all are requested.
_COLUMNS = 10
# The end of documented names, and of AstroDrizzle's, which begin with its output name.
_NUMBERED = re.compile(rf"_\d+x\d+_(\d{{1,9}}){re.escape(MASK_ENDING)}$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference between a mask and its older counterpart.

    Attributes
    ----------
    mask : str
        Its file name.
    old, new : int or None
        Number of bad pixels in the old and the new mask; None if that mask is missing.
    gained, lost : ndarray of int
        For each column, number of pixels that are bad only in the new mask, and
        only in the old one.
    """

    mask: str
    old: int | None
    new: int | None
    gained: NDArray[np.int64] = field(repr=False)
    lost: NDArray[np.int64] = field(repr=False)

    @property
    def is_same(self) -> bool:
        """Whether both masks exist and no pixel differs."""
        is_missing = self.old is None or self.new is None
        return not is_missing and not self.gained.any() and not self.lost.any()

    def document(self) -> dict[str, Any]:
        """Return it in JSON types; columns count from 1."""
        columns = np.flatnonzero(self.gained + self.lost)
        return {
            "mask": self.mask,
            "old": self.old,
            "new": self.new,
            "gained": int(self.gained.sum()),
            "lost": int(self.lost.sum()),
            "columns": [
                {"column": int(c) + 1, "gained": int(self.gained[c]), "lost": int(self.lost[c])}
                for c in columns
            ],
        }

    def rows(self, *, every_column: bool = False) -> list[tuple[str, ...]]:
        """Return the cells of the mask, and a line for each column that differs.

        Columns count from 1. Those that differ most come first: all with `every_column`,
        otherwise ten.
        """
        name = self.mask
        if self.old is None:
            return [(name, "only new", str(self.new))]
        if self.new is None:
            return [(name, "only old", str(self.old))]
        cells = (f"+{self.gained.sum()}", f"-{self.lost.sum()}", str(self.old), str(self.new))
        rows: list[tuple[str, ...]] = [(name, *cells)]
        changes = self.gained + self.lost
        order = [int(c) for c in np.argsort(-changes, kind="stable") if changes[c]]
        shown = order if every_column else order[:_COLUMNS]
        rows += [(f"  column {c + 1}  +{self.gained[c]}  -{self.lost[c]}",) for c in shown]
        if len(shown) < len(order):
            rows.append((f"  and {len(order) - len(shown)} more columns (all with -v)",))
        return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Named:
    """A mask and its file name."""

    name: str
    mask: StaticMask

    @property
    def identity(self) -> ChipIdentity | None:
        return self.mask.identity

    @property
    def number(self) -> int | None:
        """The chip's number, from the file name if the mask has no identity."""
        if self.identity is not None:
            return self.identity.number
        match = _NUMBERED.search(self.name)
        return int(match[1]) if match else None


def compare(
    settings: Settings,
    old: str,
    *,
    run_record: RunRecord | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[Difference, ...]:
    """Compare masks with older ones.

    Parameters
    ----------
    settings : Settings
        As for `make_masks`; ``input`` may also be masks or folders of masks.
    old : str
        The older mask, or a folder of masks, also DrizzlePac's.
    run_record : RunRecord, optional
        Receives a report of every exposure.
    executor : Executor, optional
        Measures the chips instead of our own threads; it is not shut down.
    progress : callable, optional
        Called after each exposure.

    Returns
    -------
    tuple of Difference
        By name. If `old` is one mask, only its counterpart is compared; otherwise
        masks present on only one side are included.

    Raises
    ------
    InputError
        If an exposure or a mask cannot be read, or the masks do not belong
        together.
    """
    has_masks = are_masks(settings.input)
    olds, problems = _read_masks([old])
    news, more = _read_masks(settings.input) if has_masks else ([], [])
    if problems or more:
        raise InputError(*problems, *more)
    if not has_masks:
        report = make_masks(
            settings, write=False, run_record=run_record, executor=executor, progress=progress
        )
        news = [
            _Named(name=Path(m.path).name, mask=m.mask) for m in report.masks if m.mask is not None
        ]
    is_one = len(olds) == 1 and not is_folder(old)
    pairs = [_partner(news, olds[0])] if is_one else _paired(news, olds)
    return tuple(sorted((_difference(*pair) for pair in pairs), key=lambda d: d.mask))


def _read_masks(entries: Sequence[str]) -> tuple[list[_Named], list[str]]:
    paths, unresolved = resolve_masks(entries)
    problems = list(unresolved)
    masks = []
    for path in paths:
        try:
            mask = StaticMask.read(path)
        except InputError as error:
            problems += error.problems
        else:
            name = path.name.removesuffix(".gz")
            masks.append(_Named(name=name, mask=mask))
    names = [mask.name for mask in masks]
    problems += [
        f"{name}: is the name of several masks; compare one folder at a time"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    return masks, problems


def _paired(
    news: Sequence[_Named], olds: Sequence[_Named]
) -> list[tuple[_Named | None, _Named | None]]:
    """Pair masks by identity; without one, by name, then by a unique shape and number."""
    left_new, left_old = list(news), list(olds)
    pairs: list[tuple[_Named | None, _Named | None]] = []
    for is_partner in (_is_same_chip, _has_same_name, _has_same_number):
        possible = [(new, old) for new in left_new for old in left_old if is_partner(new, old)]
        n_pairs = Counter(mask for pair in possible for mask in pair)
        for new, old in possible:
            is_ambiguous = is_partner is _has_same_number and max(n_pairs[new], n_pairs[old]) > 1
            if new in left_new and old in left_old and not is_ambiguous:
                pairs.append((new, old))
                left_new.remove(new)
                left_old.remove(old)
    return [*pairs, *((new, None) for new in left_new), *((None, old) for old in left_old)]


def _is_same_chip(new: _Named, old: _Named) -> bool:
    return new.identity is not None and new.identity == old.identity


def _has_same_name(new: _Named, old: _Named) -> bool:
    return new.name == old.name and None in (new.identity, old.identity)


def _has_same_number(new: _Named, old: _Named) -> bool:
    same = new.mask.shape == old.mask.shape and new.number == old.number is not None
    return same and None in (new.identity, old.identity)


def _partner(news: Sequence[_Named], old: _Named) -> tuple[_Named, _Named]:
    """Return the single new mask that is the counterpart of an old one, and the old one."""
    by_identity = [n for n in news if _is_same_chip(n, old)]
    by_name = [n for n in news if n.name == old.name]
    by_number = [n for n in news if _has_same_number(n, old)]
    by_shape = [n for n in news if n.mask.shape == old.mask.shape]
    candidates = by_identity or by_name or by_number or by_shape
    if len(candidates) != 1:
        names = ", ".join(mask.name for mask in news) or "none"
        which = "several new masks" if candidates else "no new mask"
        raise InputError(
            f"{old.name}: matches {which}; the new masks are {names}; compare with a folder"
        )
    return candidates[0], old


def _difference(new: _Named | None, old: _Named | None) -> Difference:
    both = [mask for mask in (new, old) if mask is not None]
    if len({one.mask.shape for one in both}) > 1:
        shapes = " and ".join("x".join(map(str, one.mask.shape)) for one in both)
        raise InputError(f"{both[0].name}: new and old differ in shape: {shapes}")
    identities = [mask.identity for mask in both if mask.identity is not None]
    if len(set(identities)) > 1:
        new_one, old_one = identities
        raise InputError(f"{both[1].name}: the old mask belongs to {old_one}, not to {new_one}")
    nothing = np.zeros(both[0].mask.shape, dtype=bool)
    now, before = (nothing if one is None else one.mask.bad for one in (new, old))
    return Difference(
        mask=both[0].name,
        old=None if old is None else old.mask.n_bad,
        new=None if new is None else new.mask.n_bad,
        gained=(now & ~before).sum(axis=0, dtype=np.int64),
        lost=(before & ~now).sum(axis=0, dtype=np.int64),
    )
