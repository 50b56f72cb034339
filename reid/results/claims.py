"""What the papers claim, and whether our trainings show it: `reid claims`.

A claim is two rows that differ in one thing. Both are trained with the same seeds, or on the same
random splits where a data set has such, and compared query by query. A training that is there is
not done again, so a stopped run goes on where it was, and rows of a table are those of a claim.

Reads   3-runs: each evaluation's ranked.parquet (a query's average precision and first match)
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reid.experiments import Experiment
from reid.papers import PAPERS, paper_of
from reid.papers.claim import Claim
from reid.papers.table import Printed, Row
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, read_object
from reid.project.names import unknown
from reid.results import evaluated, tables
from reid.results import printed_row as printed_rows
from reid.results.bootstrap import Interval, Paired, Verdict, interval
from reid.results.tables import Run, Training
from reid.results.training_time import timed
from reid.shards.folder import Shard
from reid.shards.protocol import protocols_of

JUDGED = "mAP"  # by which a claim is judged: at rank-1 a query counts as nothing or all
METRICS = (JUDGED, "r1")


@dataclass(frozen=True)
class ClaimRow:
    """One claim on one data set, as measured; differences in points of per cent."""

    paper: str
    claim: str
    differs: str  # the one thing that the two rows differ in
    better: str  # the row that is said to be better
    worse: str
    is_control: bool  # of the claim before it: learned weights against even ones
    dataset: str
    printed: Printed  # what the paper has between the rows; {} where it prints none
    differences: dict[str, Interval]  # by metric, mAP and r1; {} before both rows are trained
    queries: int  # that both rows searched, of each training on average
    persons: int  # who are searched
    seeds: int
    splits: int  # random splits; 0: the data set's own
    trainings: tuple[tuple[str, str, str, str], ...]  # names and keys of both rows' trainings

    @property
    def verdict(self) -> Verdict:
        """By mAP: shown, opposite, not shown; not measured before both rows are trained."""
        judged = self.differences.get(JUDGED)
        return judged.verdict if judged else "not measured"


# ------------------------------------------------------------------------------------- what to do


@dataclass(frozen=True)
class Asked:
    """Claims of one paper on one data set, of so many trainings a row."""

    run: Run  # without `splits`
    claims: tuple[Claim, ...]
    trainings: int  # seeds, or random splits where the data set has such
    splits: bool

    def of_row(self, row: Row, count: int = 0) -> list[Training]:
        """The first `count` trainings of a row, by default all."""
        count = count or self.trainings
        run = replace(self.run, splits=count if self.splits else 0)
        with self.named(row):
            return run.trainings(row, 1 if self.splits else count)

    @contextlib.contextmanager
    def named(self, row: Row) -> Generator[None]:
        """A `ReidError` within says which claims need the row, and how to test the others."""
        try:
            yield
        except ReidError as error:
            needs = [c.name for c in self.claims if row in rows_of(c)]
            told = " and ".join(f"`{name}`" for name in needs)
            raise ReidError(f"claim {told}: {error}; name other claims by --claim") from error

    @property
    def rows(self) -> list[Row]:
        """Both rows of every claim and of its control, each once."""
        found: list[Row] = []
        for row in (row for claim in self.claims for row in rows_of(claim)):
            found += [] if row in found else [row]
        return found

    @property
    def experiments(self) -> list[Experiment]:
        """All that its rows are trained as."""
        return [training.experiment for row in self.rows for training in self.of_row(row)]


def rows_of(claim: Claim) -> list[Row]:
    """Both rows of a claim, and of its control."""
    return [row for c in (claim, claim.control_claim) if c for row in (c.better, c.worse)]


def asked(run: Run, trainings: int, names: Collection[str] = ()) -> Asked:
    """The claims of `run.paper`, or of them those of these names, on `run.dataset`."""
    claims = paper_of(run.paper).claims
    chosen = tuple(claim for claim in claims if not names or claim.name in names)
    told = protocols_of(run.project.shards(run.dataset))["protocols"]
    random = sum(bool(tables.SPLIT.fullmatch(rule["name"])) for rule in told)
    return Asked(run, chosen, min(trainings, random) if random > 1 else trainings, random > 1)


def dataset_of(project: Project, paper: str) -> str:
    """The data set that a paper's claims are tested on: the first below `scale` in params.yaml."""
    names = list(params.section(params.load(project.root), paper, "scale"))
    if not names:
        raise ReidError(f"params.yaml: {paper}.scale names no data set; give --dataset")
    return names[0]


def papers_of(project: Project, named: Collection[str], names: Collection[str] = ()) -> list[str]:
    """The papers `named`, by default those that have a data set here; with a claim of `names`.

    `ReidError` where none of them claims one of these.
    """
    loaded = params.load(project.root)
    papers = list(named) or [paper for paper in PAPERS if params.section(loaded, paper, "scale")]
    claimed = {paper: [claim.name for claim in paper_of(paper).claims] for paper in papers}
    known = [name for each in claimed.values() for name in each]
    for name in names:
        if name not in known:
            raise ReidError(unknown("claim", name, known))
    return [p for p, each in claimed.items() if (set(each) & set(names) if names else each)]


# ------------------------------------------------------------------------------ trained, compared


def train(each: Sequence[Asked]) -> Generator[Asked]:
    """Train what is missing: first one training of all rows, then the second of all rows.

    Yields what is asked of a paper as often as one more training of all its rows is there.
    """
    for count in range(1, max((a.trainings for a in each), default=0) + 1):
        for of_paper in each:
            if count <= of_paper.trainings:
                for row in of_paper.rows:
                    training = of_paper.of_row(row, count)[-1]
                    if not _done(of_paper.run.project, training):
                        with (
                            of_paper.named(row),
                            timed(of_paper.run.project, training.experiment),
                        ):
                            of_paper.run.result(training)
                yield of_paper


def claim_rows(of_paper: Asked, before: Mapping[str, int] | None = None) -> list[ClaimRow]:
    """Each claim and its control, of the trainings that both of its rows have by now.

    With those of the paper that are not asked for: `before` has of how many trainings each was.
    Of these no row is given that has fewer now.
    """
    found: list[ClaimRow] = []
    for claim in paper_of(of_paper.run.paper).claims:
        for one in (claim, claim.control_claim):
            if one is None:
                continue
            count = (before or {}).get(one.name, 0)
            if claim in of_paper.claims:
                found.append(_row(of_paper, one, one is not claim))
            elif count:
                row = _row(asked(of_paper.run, count, (claim.name,)), one, one is not claim)
                found += [row] if len(row.trainings) == count else []
    return found


def _row(of_paper: Asked, claim: Claim, is_control: bool) -> ClaimRow:
    run = of_paper.run
    sides = [of_paper.of_row(row) for row in (claim.better, claim.worse)]
    both = [
        (one.experiment, other.experiment)
        for one, other in zip(*sides, strict=True)
        if _done(run.project, one) and _done(run.project, other)
    ]
    differences: dict[str, Interval] = {}
    pairs: list[Paired] = []
    for metric in METRICS if both else ():
        pairs = [paired(run.project, *experiments, metric) for experiments in both]
        differences[metric] = interval(pairs)
    on = printed_rows.evaluated_on(run.project, run.dataset)
    return ClaimRow(
        run.paper, claim.name, claim.differs, claim.better.name, claim.worse.name, is_control,
        run.dataset,
        # On a rendered world a claim stands as it is printed, else on that data set alone.
        printed={d: n for d, n in claim.printed.items() if on.world or d == on.reader},
        differences=differences,
        queries=round(sum(len(pair.person) for pair in pairs) / max(len(pairs), 1)),
        persons=len({*np.concatenate([pair.person for pair in pairs])}) if pairs else 0,
        seeds=len({pair.seed for pair in pairs}),
        splits=len({pair.split for pair in pairs}) if of_paper.splits else 0,
        trainings=tuple(
            (one.name, one.key(run.project), other.name, other.key(run.project))
            for one, other in both
        ),
    )  # fmt: skip


def _done(project: Project, training: Training) -> bool:
    return evaluated.comparable(project, training.experiment) is not None


def paired(project: Project, better: Experiment, worse: Experiment, metric: str) -> Paired:
    """What one training of a row has above one of another, for each query that both searched.

    mAP: of a query's average precision; r1: of whether its first gallery entry matches. In points
    of per cent. `ReidError` where no query is of both, or where a rule has no mAP of its own.
    """
    sides = [_queries(project, experiment, metric) for experiment in (better, worse)]
    common = [query for query in sides[0] if query in sides[1]]
    if not common:
        raise ReidError(f"{better.name} and {worse.name}: no query was searched by both")
    return Paired(
        better.params.protocol, better.params.seed,
        person=np.array([sides[0][query][0] for query in common]),
        difference=np.array([100 * (sides[0][q][1] - sides[1][q][1]) for q in common]),
    )  # fmt: skip


def _queries(project: Project, experiment: Experiment, metric: str) -> dict[str, tuple[int, float]]:
    """Of each query with a match, by its image_id: its person, and its share of the metric."""
    folder = project.run(experiment.name) / "evaluate"
    told = read_object(folder / "metrics.json", {}, f"reid evaluate {experiment.name}")
    if told is None or told.get("single_gallery_shot"):
        raise ReidError(
            f"{folder}: has no mAP, by which claims are judged: its rule draws one gallery image a "
            "person; name another data set"
        )
    labels = Shard(folder / "features.parquet").table(["image_id", "person"]).to_pydict()
    person = dict(zip(labels["image_id"], labels["person"], strict=True))
    ranked = Shard(folder / "ranked.parquet").table(
        ["query", "average_precision", "first_match"]
    ).to_pydict()  # fmt: skip
    values = {
        query: precision if metric == JUDGED else float(first == 1)
        for query, precision, first in zip(*ranked.values(), strict=True)
        if first > 0
    }
    return {query: (person[query], value) for query, value in values.items()}
