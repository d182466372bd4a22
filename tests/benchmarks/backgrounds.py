"""Evidence for the local background: defects found, and false pixels, as Markdown tables.

    python -m tests.benchmarks.backgrounds [--seeds 4] [--kinds KIND ...]

makes masks of the synthetic fields of scenes.py, and prints which share of their known
defects (recall) is in the masks, and how many false pixels in a million. It takes about
seven minutes on two free cores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from staticmask_cli.settings import Background, MinExposures
from staticmask_cli.statistics.bad_pixels import METHODS, Criteria, find_bad_pixels
from tests.benchmarks.evidence import Found, Shape, in_order, summed, table
from tests.support import scenes
from tests.support.fields import DEEP, SHALLOW

SIGMAS = (3.0, 3.5, 4.0, 5.0, 6.0)
SIGMA = 4.0
COUNTS = (4, 8, 16)
SIX = 6
VOTES = ("1", "2", "50%")
EIGHT = (8.0, 8.0)  # depth of defects, in noises of their place
SECONDS = 340.0  # of the exposures in electrons per second

# The smallest recall and the most false pixels in a million, of masks of six exposures with
# defects eight noises deep, by votes.
TARGETS = {"1": (0.99, 1000.0), "2": (0.98, 20.0)}


class Job(NamedTuple):
    """A field, and the numbers of exposures and sigmas with which masks are made of it."""

    kind: str
    seed: int
    shape: Shape
    counts: tuple[int, ...] = (SIX,)
    sigmas: tuple[float, ...] = (SIGMA,)
    depth: tuple[float, float] = EIGHT
    defects: str = "mixed"
    dithered: bool = True
    seconds: float = 1.0


class Recipe(NamedTuple):
    """How a mask is made."""

    background: Background
    votes: str
    exposures: int = SIX
    sigma: float = SIGMA

    def __str__(self) -> str:
        return f"{self.background}, {self.votes} vote{'s' * (self.votes != '1')}"


Masks = dict[Recipe, Found]
CHIP, LOCAL = ([Recipe(background, n) for n in VOTES] for background in Background)


def found(job: Job) -> Masks:
    """Create a field, make masks of it, and compare them with its defects."""
    made = scenes.field(
        job.kind,
        job.seed,
        max(job.counts),
        job.shape,
        depth=job.depth,
        defects=job.defects,
        dithered=job.dithered,
        seconds=job.seconds,
        subtracted=0.0 if job.seconds == 1 else scenes.SKY,
    )
    masks = {}
    for background in Background:
        n_low = {sigma: np.zeros(job.shape, int) for sigma in job.sigmas}
        for count, pixels in enumerate(made.exposures, 1):
            sky = METHODS[background](pixels, None)
            for sigma in job.sigmas:
                criteria = Criteria(static_sig=sigma, background=background)
                low = find_bad_pixels(pixels, None, criteria, sky=sky).low
                n_low[sigma] += np.unpackbits(low, count=pixels.size).reshape(job.shape)
                for votes in VOTES if count in job.counts else ():
                    bad = n_low[sigma] >= MinExposures.of(votes).needed(count)
                    masks[Recipe(background, votes, count, sigma)] = Found(
                        defects=int(made.defects.sum()),
                        hits=int((bad & made.defects).sum()),
                        false=int((bad & ~made.defects).sum()),
                        chips=1,
                        pixels=bad.size,
                    )
    return masks


class Program:
    """Makes masks in several processes."""

    def __init__(self, kinds: list[str], seeds: int, shape: Shape, processes: int) -> None:
        self.kinds, self.seeds, self.shape, self.processes = kinds, seeds, shape, processes

    def jobs(self, seeds: int | None = None, **options: Any) -> list[Job]:
        """Return the jobs for all kinds of field."""
        numbers = range(seeds or self.seeds)
        return [Job(kind, n, self.shape, **options) for kind in self.kinds for n in numbers]

    def do(
        self, jobs: list[Job], key: Callable[[Job], str] = lambda job: job.kind
    ) -> dict[str, Masks]:
        """Do the jobs, and return the sums of those with the same key."""
        of: dict[str, list[Masks]] = {}
        for job, masks in zip(jobs, in_order(found, jobs, self.processes), strict=True):
            of.setdefault(key(job), []).append(masks)
        return {name: summed(masks) for name, masks in of.items()}


def cell(recipe: Recipe, *of: Masks) -> str:
    """Return recalls, and false pixels in a million."""
    parts = [masks[recipe] for masks in of]
    recalls = [f"{part.recall:.3f}" for part in parts]
    return ", ".join([*recalls, f"{sum(parts, Found()).false_per_million:.0f}"])


def title(text: str) -> None:
    print(f"\n{text}\n", flush=True)


def targets(program: Program) -> None:
    """Print the results of the targets, and single fields that miss them."""
    by_field = program.do(program.jobs(), lambda job: f"{job.kind}, seed {job.seed}")
    in_seconds = program.do(program.jobs(seconds=SECONDS))
    title("Six exposures, 4 sigma, defects 8 noises deep: recall, false pixels in a million")
    columns = [*CHIP[:2], *LOCAL[:2]]
    rows = []
    for kind in program.kinds:
        masks = summed(of for name, of in by_field.items() if name.startswith(f"{kind}, "))
        cells = [cell(recipe, masks) for recipe in columns]
        rows.append([kind, *cells, *(cell(recipe, in_seconds[kind]) for recipe in LOCAL[:2])])
    heads = [str(recipe) for recipe in columns]
    table(["field", *heads, *(f"{head}, electrons per second" for head in heads[2:])], rows)
    title("Single fields that miss a target")
    for name, masks in by_field.items():
        for recipe in LOCAL[:2]:
            recall, false = TARGETS[recipe.votes]
            if masks[recipe].recall < recall or masks[recipe].false_per_million > false:
                print(f"- {name}, {recipe}: {cell(recipe, masks)}")


def blank(program: Program) -> None:
    """Compare the false pixels of both methods on many blank fields."""
    shape = (2 * program.shape[0], 2 * program.shape[1])
    jobs = [Job("blank", seed, shape) for seed in range(100, 100 + 6 * program.seeds)]
    masks = program.do(jobs)["blank"]
    title(
        f"False pixels of {len(jobs)} blank fields, six exposures, {masks[CHIP[0]].pixels} pixels"
    )
    ratio = masks[LOCAL[0]].false / max(1, masks[CHIP[0]].false)
    columns = [*CHIP[:2], *LOCAL[:2]]
    table(
        [*map(str, columns), "local / chip, 1 vote"],
        [[*(f"{masks[recipe].false}" for recipe in columns), f"{ratio:.3f}"]],
    )


def votes(program: Program) -> None:
    """Print the results of several numbers of exposures and votes."""
    deep, shallow = (program.do(program.jobs(counts=COUNTS, depth=d)) for d in (DEEP, SHALLOW))
    recipes = [(count, n) for count in COUNTS for n in VOTES if (count, n) != (4, "50%")]
    for background in Background:
        title(f"{background}: recall of deep and shallow defects, false pixels in a million")
        table(
            ["field", *(f"{count} exposures, {n}" for count, n in recipes)],
            (
                [
                    kind,
                    *(
                        cell(Recipe(background, n, c), deep[kind], shallow[kind])
                        for c, n in recipes
                    ),
                ]
                for kind in program.kinds
            ),
        )
    title("All fields together; in parentheses the worst kind of field")
    in_sum("exposures", {(f"{c}", n): (n, c, SIGMA) for c, n in recipes}, deep, shallow)


def sigmas(program: Program) -> None:
    """Print the results of several sigmas."""
    deep, shallow = (program.do(program.jobs(sigmas=SIGMAS, depth=d)) for d in (EIGHT, SHALLOW))
    title("Six exposures, several sigmas, defects 8 and 4.5 to 8 noises deep; all fields together")
    in_sum("sigma", {(f"{s:g}", n): (n, SIX, s) for s in SIGMAS for n in VOTES}, deep, shallow)


def in_sum(
    name: str,
    recipes: dict[tuple[str, str], tuple[str, int, float]],
    deep: dict[str, Masks],
    shallow: dict[str, Masks],
) -> None:
    """Print the results of all kinds of field together, and of the worst one."""
    parts = ("deep", "shallow", "false")
    head = [
        name,
        "votes",
        *(f"{background}: {part}" for background in Background for part in parts),
    ]
    rows = []
    for labels, recipe in recipes.items():
        cells = []
        for background in Background:
            this = Recipe(background, *recipe)
            for of in (deep, shallow):
                recalls = [masks[this].recall for masks in of.values()]
                total = sum((masks[this] for masks in of.values()), Found())
                cells.append(f"{total.recall:.3f} ({min(recalls):.3f})")
            false = [(deep[kind][this] + shallow[kind][this]) for kind in deep]
            most = max(one.false_per_million for one in false)
            cells.append(f"{sum(false, Found()).false_per_million:.0f} ({most:.0f})")
        rows.append([*labels, *cells])
    table(head, rows)


def undithered(program: Program) -> None:
    """Print what votes do if all exposures see the same place."""
    masks = program.do(program.jobs(dithered=False))
    title("Six exposures without any dither: recall, false pixels in a million")
    recipes = [*CHIP, *LOCAL]
    table(
        ["field", *map(str, recipes)],
        ([kind, *(cell(recipe, masks[kind]) for recipe in recipes)] for kind in program.kinds),
    )


def shapes(program: Program) -> None:
    """Print the results of each shape of defects, which are many in one field of each kind."""
    jobs = [job for name in scenes.SHAPES for job in program.jobs(1, defects=name)]
    masks = program.do(jobs, lambda job: f"{job.defects}, {job.kind}")
    title("Shapes of defects, 8 noises deep: recall, false pixels in a million; the worst recall")
    rows = []
    for name in scenes.SHAPES:
        of = {kind: masks[f"{name}, {kind}"] for kind in program.kinds}
        row = [name]
        for recipe in LOCAL[:2]:
            worst = min(of, key=lambda kind: of[kind][recipe].recall)
            row += [cell(recipe, summed(of.values())), f"{of[worst][recipe].recall:.3f}, {worst}"]
        rows.append(row)
    table(["shape", *(head for recipe in LOCAL[:2] for head in (str(recipe), "worst field"))], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=4, help="fields of each kind")
    parser.add_argument("--kinds", nargs="+", choices=scenes.KINDS, default=list(scenes.KINDS))
    parser.add_argument("--shape", type=int, nargs=2, default=(512, 512), help="of a chip")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    program = Program(arguments.kinds, arguments.seeds, tuple(arguments.shape), arguments.jobs)
    for show in (targets, blank, votes, sigmas, undithered, shapes):
        show(program)


if __name__ == "__main__":
    main()
