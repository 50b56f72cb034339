"""What the papers claim, and whether our trainings show it: `reid claims`.

A claim is two rows that differ in one thing. Both are trained with the same seeds, or on the same
random splits where a data set has such, and compared query by query. A training that is there is
not done again, so a stopped run goes on where it was, and rows of a table are those of a claim.

Reads   3-runs: each evaluation's ranked.parquet (a query's average precision and first match)
Writes  4-reports/claims/<paper>-<data set>.json and .md; .work/claims-seconds.json, the seconds
        that each row's training took
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid.experiments import Experiment
from reid.papers import PAPERS, paper_of
from reid.papers.claim import Claim
from reid.papers.table import Printed, Row
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of, read_object, write_atomically
from reid.project.names import unknown
from reid.results import printed_row as printed_rows
from reid.results import tables
from reid.results.bootstrap import Interval, Paired, Verdict, interval
from reid.results.made_with import made_with
from reid.results.tables import Run, Training
from reid.shards.folder import Shard
from reid.shards.protocol import protocols_of

JUDGED = "mAP"  # by which a claim is judged: at rank 1 a query counts as nothing or all
METRICS = (JUDGED, "r1")
TIMED_STEPS = 3  # of a rehearsal
RULE = (
    "Shown: all of the 95 % interval of the difference of mAP is above 0; opposite: all of it is "
    "below; else not shown. Points of per cent. Intervals: paired bootstrap over persons, and over "
    "trainings where there are several."
)


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
        return run.trainings(row, 1 if self.splits else count)

    @property
    def rows(self) -> list[Row]:
        """Both rows of every claim and of its control, each once."""
        every = [c for claim in self.claims for c in (claim, claim.control_claim) if c]
        found: list[Row] = []
        for row in (row for one in every for row in (one.better, one.worse)):
            found += [] if row in found else [row]
        return found


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


@dataclass(frozen=True)
class Work:
    """What is to be trained, and the seconds that it will take."""

    trainings: int  # all that the claims are of
    missing: int
    seconds: float
    rehearsed: int  # rows whose seconds are of a rehearsal, the others' of earlier trainings

    def told(self) -> str:
        """In one line."""
        if not self.missing:
            return f"{self.trainings} trainings, all of them done"
        how = f", {self.rehearsed} rows of them rehearsed" if self.rehearsed else ""
        return (
            f"{self.missing} of {self.trainings} trainings are to be done, about "
            f"{self.seconds / 3600:.2f} hours (by the seconds of earlier trainings{how})"
        )


def work(each: Sequence[Asked], rehearse: Callable[[Experiment], float]) -> Work:
    """What the claims need; `rehearse` gives the seconds of a row that was never trained."""
    there = {
        t.experiment.name: (a.run.project, t) for a in each for r in a.rows for t in a.of_row(r)
    }
    missing = [
        (project, training.experiment)
        for project, training in there.values()
        if tables.metrics_of(project, training.experiment) is None
    ]
    seconds: dict[str, float] = {}
    rehearsed = 0
    for project, experiment in missing:
        known, row = _seconds(project), _row_key(experiment)
        if row in seconds:
            continue
        rehearsed += row not in known
        seconds[row] = known[row] if row in known else rehearse(experiment)
    total = sum(seconds[_row_key(experiment)] for _, experiment in missing)
    return Work(len(there), len(missing), total, rehearsed)


def rehearsed_seconds(project: Project, device: str) -> Callable[[Experiment], float]:
    """How long a training takes, by a few steps of it."""
    from reid.training.rehearse import rehearse

    def seconds(experiment: Experiment) -> float:
        found = rehearse(experiment, project, steps=TIMED_STEPS, device=device)
        return found["prepare_s"] + 3600 * found["hours"]

    return seconds


def _row_key(experiment: Experiment) -> str:
    """A row, whatever its seed and split."""
    told = {k: v for k, v in experiment.described().items() if k not in ("seed", "protocol")}
    return key_of([experiment.paper.name, told])


def _seconds(project: Project) -> dict[str, float]:
    path = project.work / "claims-seconds.json"
    return read_object(path, {}, "reid claims, without that file") or {}


def _trained(run: Run, training: Training) -> None:
    """Train and evaluate what is missing, and keep how long it took."""
    if tables.metrics_of(run.project, training.experiment) is not None:
        return
    begun = time.monotonic()
    run.result(training)
    took, row, known = (
        time.monotonic() - begun,
        _row_key(training.experiment),
        _seconds(run.project),
    )
    # One that went on from a checkpoint took less than a whole one.
    known[row] = max(took, known.get(row, 0.0))
    write_atomically(run.project.work / "claims-seconds.json", as_json(known))


# ------------------------------------------------------------------------------ trained, compared


def train(each: Sequence[Asked]) -> Generator[Asked]:
    """Train what is missing: first one training of all rows, then the second of all rows.

    Yields what is asked of a paper as often as one more training of all its rows is there.
    """
    for count in range(1, max((a.trainings for a in each), default=0) + 1):
        for of_paper in each:
            if count <= of_paper.trainings:
                for row in of_paper.rows:
                    _trained(of_paper.run, of_paper.of_row(row, count)[-1])
                yield of_paper


def claim_rows(of_paper: Asked) -> list[ClaimRow]:
    """Each claim and its control, of the trainings that both of its rows have by now."""
    return [
        _row(of_paper, one, one is not claim)
        for claim in of_paper.claims
        for one in (claim, claim.control_claim)
        if one is not None
    ]


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
    return tables.metrics_of(project, training.experiment) is not None


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
    if read_object(folder / "metrics.json", {}, f"reid evaluate {experiment.name}") is None:
        raise ReidError(f"{folder}: not evaluated")
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


# ---------------------------------------------------------------------------------------- as text


def write(project: Project, rows: Sequence[ClaimRow]) -> Path:
    """Claims of one paper on one data set as JSON and Markdown; returns the JSON's path."""
    stem = f"{rows[0].paper}-{rows[0].dataset.replace('/', '-')}"
    path = folder_of(project) / f"{stem}.json"
    write_atomically(path, as_json([as_object(row) for row in rows]), project.publishing)
    shown = {"title": title(rows), "rows": lines(rows), "note": f"{RULE} {made_with()}"}
    write_atomically(path.with_suffix(".md"), tables.markdown(shown), project.publishing)
    return path


def as_object(row: ClaimRow) -> dict[str, Any]:
    """A row as JSON holds it, its verdict beside."""
    return {**asdict(row), "verdict": row.verdict}


def folder_of(project: Project) -> Path:
    return project.reports / "claims"


def stored(project: Project) -> list[ClaimRow]:
    """The rows that `reid claims` has written, of trainings that are still those evaluated.

    Those of the project `claims` below this one are among them. `ReidError` for a file that is
    not as it was written.
    """
    found = [row for path in sorted(folder_of(project).glob("*.json")) for row in _read(path)]
    own = [row for row in found if _is_there(project, row)]
    below = Project(project.root / "claims")
    return own + (stored(below) if (below.root / params.PARAMS_FILE).is_file() else [])


def _read(path: Path) -> list[ClaimRow]:
    try:
        return [_of_object(one) for one in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReidError(f"{path}: cannot be read ({error!r}); run `reid claims`") from None


def _of_object(one: dict[str, Any]) -> ClaimRow:
    values = {key: value for key, value in one.items() if key != "verdict"}
    values["differences"] = {m: Interval(**v) for m, v in one["differences"].items()}
    values["trainings"] = tuple(tuple(names) for names in one["trainings"])
    return ClaimRow(**values)


def _is_there(project: Project, row: ClaimRow) -> bool:
    """Whether all evaluations are of the trainings that a row names by their keys."""
    named = {name: key for a, b, c, d in row.trainings for name, key in ((a, b), (c, d))}
    for name, key in named.items():
        path = project.run(name) / "evaluate" / "metrics.json"
        found = read_object(path, {}, f"reid evaluate {name}")
        if found is None or found.get("training") != key:
            return False
    return True


def title(rows: Sequence[ClaimRow]) -> str:
    return f"{rows[0].paper}: what it claims, on {rows[0].dataset}"


def lines(rows: Sequence[ClaimRow]) -> list[dict[str, str]]:
    """Rows as a table shows them."""
    return [
        {
            "claim": f"control: {row.claim}" if row.is_control else row.claim,
            "differs in": row.differs,
            "paper": printed_shown(row.printed),
            "mAP": _shown(row.differences.get(JUDGED)),
            "rank-1": _shown(row.differences.get("r1")),
            "trainings": _of(row),
            "verdict": row.verdict,
        }
        for row in rows
    ]


def _of(row: ClaimRow) -> str:
    count = len(row.trainings)
    kind = "split" if row.splits else "seed"
    if not count:
        return ""
    kinds = f"{kind}s" if count > 1 else kind
    return f"{count} {kinds} x {row.queries} queries, {row.persons} persons"


def printed_shown(printed: Printed) -> str:
    """What the paper has on the first of its data sets; JSON has all."""
    for dataset, numbers in printed.items():
        shown = [f"{m} {numbers[m]:+.2f}" for m in METRICS if m in numbers]
        return f"{dataset} {', '.join(shown)}"
    return tables.NOT_PRINTED


def _shown(found: Interval | None) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" if found else ""
