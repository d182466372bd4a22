"""Whether masks can be combined: each exposure must count once, and in all in the same way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from staticmask_cli.errors import InputError, one_line_each
from staticmask_cli.masks.duplicates import Duplicates
from staticmask_cli.masks.existing import differences
from staticmask_cli.masks.fits_form import MaskFormError, MaskTable, read_mask, read_table
from staticmask_cli.masks.records import ChipRecord
from staticmask_cli.masks.static_mask import StaticMask
from staticmask_cli.settings import ONCE, Recipe


class Part(NamedTuple):
    """A mask to be combined with others: its file, and what that contains but pixels."""

    path: Path
    table: MaskTable


def read_parts(paths: Sequence[Path]) -> tuple[list[Part], Recipe]:
    """Read the tables of masks that are to be combined.

    Returns
    -------
    parts : list of Part
        The masks.
    recipe : Recipe
        The settings by which all of them were made.

    Raises
    ------
    InputError
        If masks are not masks of exposures, are damaged, lack counts or were made with
        different settings; lists all problems.
    """
    parts: list[Part] = []
    recipes: list[Recipe] = []
    problems: list[str] = []
    reasons: dict[str, list[Path]] = {}
    for path in paths:
        try:
            table = read_table(path, verify_pixels=True)
        except InputError as error:
            problems += error.problems
            continue
        except MaskFormError as error:
            reasons.setdefault(str(error), []).append(path)
            continue
        parts.append(Part(path, table))
        reason = ""
        if table.recipe is None or table.edits:
            how = table.edits[0].participle
            reason = f"was {how}; combine masks as make writes them, and edit the result"
        elif recipes and (differ := differences(table.recipe, recipes[0], table.identity)):
            reason = f"was made with {'; '.join(differ)} as {parts[0].path}"
        elif table.recipe.min_exposures != ONCE and not table.has_counts:
            needed = table.recipe.min_exposures
            reason = f"was made with min_exposures {needed}, but has no counts; rerun with --counts"
        else:
            recipes.append(table.recipe)
            continue
        reasons.setdefault(reason, []).append(path)
    if problems or reasons:
        raise InputError(*problems, *one_line_each(reasons))
    # The same bits may be in other words: the words must not depend on the order of the masks.
    return parts, min(recipes, key=str)


def read_part(part: Part) -> StaticMask:
    """Read a mask whose table was read by `read_parts`; InputError if it changed since."""
    try:
        mask = read_mask(part.path)
    except (InputError, MaskFormError):
        mask = None
    if mask is None or not mask.records.is_same_as(part.table.records):
        raise InputError(f"{part.path}: changed while masks were combined; run again")
    return mask


def contributing(parts: Sequence[Part]) -> list[Part]:
    """Return those of several masks of one identity whose pixels are to be added.

    A mask whose exposures are all in another one adds nothing.

    Raises
    ------
    InputError
        If some masks have counts and others do not, if an exposure differs in two masks, or
        if masks with counts share exposures; lists all problems.
    """
    reasons: dict[str, list[Path]] = {}
    counted = [part.path for part in parts if part.table.has_counts]
    for path, table in parts:
        if counted and not table.has_counts:
            reason = f"has no counts, but {counted[0]} has; rerun with --counts"
            reasons.setdefault(reason, []).append(path)
    shared = list(_shared_records(parts))
    problems = [*one_line_each(reasons), *_contradictions(parts, shared)]
    sharing = _Sharing.of(parts, shared)
    n_chips = [part.table.records.n_chips for part in parts]
    chosen = [n for n, _ in enumerate(parts) if not sharing.is_subset(n, n_chips)]
    for number in chosen if counted else ():
        n_shared, other = sharing.overlap(number, chosen)
        if n_shared:
            what = "SCI extension" if n_shared == 1 else "SCI extensions"
            problems.append(
                f"{parts[number].path}: shares {n_shared} {what} with {parts[other].path}, "
                "so how often pixels were bad is unknown; give masks of disjoint exposures"
            )
    if problems:
        raise InputError(*problems)
    return [parts[number] for number in chosen]


def _shared_records(parts: Sequence[Part]) -> Iterator[tuple[int, ChipRecord]]:
    """Yield the contributing records of exposures in several masks, with the mask's number."""
    sizes = [len(part.table.records) for part in parts]
    number = np.repeat(np.arange(len(parts)), sizes)
    rows = np.concatenate([part.table.records.rows for part in parts])
    given = np.flatnonzero(np.concatenate([part.table.records.gives for part in parts]))
    rows, number = rows[given], number[given]
    roots = [name.rpartition(b"_")[0] for name in rows["calibration"].tolist()]
    roots = [root or b"/%d" % row for row, root in enumerate(roots)]  # unknown: of no other
    is_shared = np.any(
        [
            _in_several(values, number)
            for values in (
                rows["file"],
                np.array(roots, np.bytes_),
                rows["pixel_hash"].astype("S16"),
            )
        ],
        axis=0,
    )
    begins = np.cumsum([0, *sizes])
    for row in np.flatnonzero(is_shared).tolist():
        of_mask = int(number[row])
        yield of_mask, parts[of_mask].table.records[int(given[row] - begins[of_mask])]


def _in_several(values: NDArray[Any], number: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each value is in several masks, whose numbers ascend."""
    _, first, group = np.unique(values, return_index=True, return_inverse=True)
    last = np.zeros_like(first)
    np.maximum.at(last, group, np.arange(values.size))
    several: NDArray[np.bool_] = number[first] != number[last]
    return several[group]


def _contradictions(parts: Sequence[Part], shared: Sequence[tuple[int, ChipRecord]]) -> list[str]:
    """Return the problems of exposures that differ in two masks: a line for each kind and mask."""
    if not shared:
        return []
    recipe, identity = parts[0].table.recipe, parts[0].table.identity
    allow = recipe is not None and recipe.allow_duplicates
    lines: dict[tuple[int, str], list[str]] = {}
    duplicates = Duplicates(allow=allow)
    versions: dict[tuple[str, int], dict[int, set[str]]] = {}
    keys: dict[tuple[Any, ...], int] = {}
    for number, record in shared:
        hashes = versions.setdefault((record.file, record.extver), {})
        hashes.setdefault(number, set()).add(record.pixel_hash)
        try:
            duplicates.original(identity, record)
        except ValueError as error:
            kind = type(error).__name__
            lines.setdefault((number, kind), []).append(f"{record.name}: {error}")
        duplicates.register(identity, record, f"{parts[number].path}: {record.file}")
        if allow and record.used and (other := keys.setdefault(record.key, number)) != number:
            lines.setdefault((number, "copy"), []).append(
                f"{record.name}: is in {parts[other].path} too; with allow_duplicates each copy "
                "counts, so give masks of disjoint exposures"
            )
    for (file, extver), hashes in versions.items():
        # A mask may have several exposures of a name; all versions must be in one mask.
        if set.union(*hashes.values()) not in hashes.values():
            one, *others = hashes
            paths = ", ".join(str(parts[other].path) for other in others)
            lines.setdefault((one, "version"), []).append(
                f"{file} SCI,{extver}: differs from that in {paths}: its pixels or flags changed; "
                "make the masks again"
            )
    return [
        f"{parts[number].path}: {found[0]}"
        + (f" (and {len(found) - 1} more such SCI extensions)" if len(found) > 1 else "")
        for (number, _), found in lines.items()
    ]


class _Sharing(NamedTuple):
    """Which chips masks have in common, by what chips have in common that count once."""

    masks_of: dict[Any, set[int]]
    chips_of: list[set[Any]]

    @classmethod
    def of(cls, parts: Sequence[Part], shared: Sequence[tuple[int, ChipRecord]]) -> _Sharing:
        found = cls({}, [set() for _ in parts])
        for number, record in shared:
            if not record.used:
                continue
            chip = record.pixel_hash if record.has_sky else record.key
            found.masks_of.setdefault(chip, set()).add(number)
            found.chips_of[number].add(chip)
        return found

    def is_subset(self, number: int, n_chips: Sequence[int]) -> bool:
        """Return whether all chips of a mask are in one that is larger, or equal and before it."""
        chips = self.chips_of[number]
        if not chips or len(chips) < n_chips[number]:
            return False
        others = set.intersection(*(self.masks_of[chip] for chip in chips))
        return any((n_chips[other], -other) > (n_chips[number], -number) for other in others)

    def overlap(self, number: int, chosen: Collection[int]) -> tuple[int, int]:
        """Return how many chips a mask shares with one before it, and which; 0 if with none."""
        others = Counter(
            other
            for chip in self.chips_of[number]
            for other in self.masks_of[chip]
            if other < number and other in chosen
        )
        other, n_chips = max(others.items(), key=lambda pair: (pair[1], -pair[0]), default=(0, 0))
        return n_chips, other
