"""Whole tables of a paper: each row trained and evaluated over several seeds, ours beside theirs.

Rows that are one and the same training are trained once. Nothing is trained or evaluated again that
is there already, so a stopped table goes on where it was.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reid import experiments
from reid.experiments import Experiment
from reid.papers import paper_of
from reid.papers.table import Printed, Row, Table
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, builder_of, write_atomically
from reid.project.names import heading
from reid.results import printed_row as printed_rows
from reid.results.evaluated import (
    comparable,
    described,
    headings,
    measured,
    metrics_shown,
    of_paper,
    spread,
)
from reid.results.made_with import made_with
from reid.shards.manifest import manifest_of
from reid.shards.protocol import protocols_of

SPLIT = re.compile(r"(split|random|classic)-\d+")  # the name of one random split of several


def find_table(paper: str, number: str) -> Table:
    """A printed table of a paper by its number."""
    tables = {str(k): t for k, t in paper_of(paper).tables.items()}
    if number not in tables:
        raise ReidError(f"{paper} has no table `{number}` (it has {', '.join(tables)})")
    return tables[number]


class Training(NamedTuple):
    """One training of a row, and its parameters in words."""

    experiment: Experiment
    told: str


@dataclass(frozen=True)
class Run:
    """How the rows of a table are trained and evaluated."""

    project: Project
    paper: str
    dataset: str
    device: str
    # Builds a stage over the data set with other parameters; returns the build's name.
    build: Callable[[Project, str, str, Mapping[str, Any]], str]
    say: Callable[[str], None]
    splits: int = 0  # the first so many random splits of the data set; 0 = its default rule alone

    def results(self, row: Row, seeds: int) -> list[tuple[Experiment, dict[str, Any]]]:
        """The trainings of one row for each split and seed, with their metrics."""
        return [(t.experiment, self.result(t)) for t in self.trainings(row, seeds)]

    def trainings(self, row: Row, seeds: int) -> list[Training]:
        """The trainings of one row for each split and seed; what they read is built."""
        dataset = source_of(self.project, self.dataset) if row.of_source else self.dataset
        on = printed_rows.evaluated_on(self.project, dataset)
        rules = [self.rule(on)]
        if self.splits:
            rules = splits_of(self.project, dataset, self.splits)
        overrides = row.parameters(on.reader)
        builds = {
            stage: self.build(self.project, stage, dataset, values)
            for stage, values in row.stages.items()
        }
        return [
            self._training(dataset, overrides, {"seed": seed, "protocol": rule, "builds": builds})
            for rule in rules
            for seed in range(seeds)
        ]

    def rule(self, on: printed_rows.EvaluatedOn) -> str:
        """The rule that the paper tests a data set by; '' is its first, also of several splits."""
        named = paper_of(self.paper).protocols.get(on.reader, "")
        return "" if "?" in named or on.world else named

    def _training(
        self, dataset: str, overrides: Mapping[str, Any], chosen: Mapping[str, Any]
    ) -> Training:
        """One training of a row: `chosen` are its seed, rule and builds; empty ones are unsaid."""
        kept = {key: value for key, value in chosen.items() if key == "seed" or value}
        wanted = {**overrides, **kept}
        told = ", ".join(f"{k} {v}" for k, v in wanted.items())
        return Training(experiments.variant(self.project, self.paper, dataset, wanted), told)

    def result(self, training: Training) -> dict[str, Any]:
        """The metrics of a training, trained and evaluated where that is not done yet."""
        experiment = training.experiment
        found = comparable(self.project, experiment)
        if found is None:
            from reid.evaluation.evaluate import evaluate
            from reid.training.train import train

            self.say(f"{experiment.name}: {training.told}")
            train(experiment, self.project, device=self.device)
            found = evaluate(experiment, self.project, device=self.device)
        return found


def run_table(run: Run, number: str, seeds: int, only: Collection[str] = ()) -> dict[str, Any]:
    """Train and evaluate what is missing of a table; rows with mean and spread over `seeds`.

    With `only` no more than the rows of these names. Also written to 4-reports/tables as JSON and
    CSV, with short keys (`r1`), and as Markdown, in readers' words (rank-1). Raises `ReidError`,
    after that, where a row cannot be trained with the parameters of the data set's scale.
    """
    table = find_table(run.paper, number)
    names = [row.name for row in table.rows if row.overrides is not None]
    for name in only:
        if name not in names:
            raise ReidError(f"table {number} trains no row `{name}` (it has {', '.join(names)})")
    on = printed_rows.evaluated_on(run.project, run.dataset)
    # Of a data set that is no rendered world, the paper's numbers are of no other.
    printed = [
        {d: row.printed[d] for d in row.printed if on.world or d == on.reader} for row in table.rows
    ]
    shown = metrics_shown(printed, table.metrics)
    lines, trained, failed = [], 0, dict[str, ReidError]()
    for row, numbers in zip(table.rows, printed, strict=True):
        line: dict[str, Any] = {"row": row.name, **dict.fromkeys(shown, "")}
        if row.overrides is not None and (not only or row.name in only):
            try:
                results = run.results(row, seeds)
            except ReidError as error:  # said at the end, when the other rows are there
                failed[row.name] = error
            else:
                trained += 1
                line |= {m: spread([measured(r, m) for _, r in results]) for m in shown}
                numbers = _as_trained(run.project, f"{number}: {row.name}", numbers, results)
        lines.append({**line, **of_paper(headings(printed), numbers)})
    if failed and not trained:
        raise next(iter(failed.values()))
    found = {
        "title": f"{run.paper}, table {number}: {table.title}. Ours on "
        f"{described(run.project, run.dataset)}, {_repeats(run.splits, seeds)}",
        "rows": lines,
        "note": " ".join(filter(None, (table.note, made_with()))),
    }
    stem = f"{run.paper}-{number}-{run.dataset.replace('/', '-')}"
    texts = {"json": as_json(found), "md": markdown(found), "csv": comma_separated(found)}
    for ending, text in texts.items():
        path = run.project.reports / "tables" / f"{stem}.{ending}"
        write_atomically(path, text, run.project.publishing)
    if failed:
        told = "; ".join(f"row `{name}` is not trained: {error}" for name, error in failed.items())
        raise ReidError(f"table {number}: {told}; the other rows are in {path.with_suffix('.md')}")
    return found


def source_of(project: Project, dataset: str) -> str:
    """The data set that a stage made `dataset` of, such as topview of crops/topview."""
    if "/" not in dataset:
        raise ReidError(f"{dataset} was not made of another data set, as this row's must be")
    return str(manifest_of(project.shards(dataset), builder_of(dataset))["dataset"])


def splits_of(project: Project, dataset: str, count: int) -> list[str]:
    """The names of the first `count` random splits among a data set's rules."""
    told = protocols_of(project.shards(dataset))
    names = [rule["name"] for rule in told["protocols"] if SPLIT.fullmatch(rule["name"])]
    if len(names) < count:
        raise ReidError(f"{dataset}: {count} random splits are asked for, it has {len(names)}")
    return names[:count]


def _repeats(splits: int, seeds: int) -> str:
    """Of how many trainings a row's mean is."""
    told = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((splits, "split"), (seeds, "seed"))]
    return " x ".join(told if splits else told[1:])


def _as_trained(
    project: Project,
    name: str,
    numbers: Printed,
    results: Sequence[tuple[Experiment, dict[str, Any]]],
) -> Printed:
    """A row's numbers on the data sets for which params.yaml let every training be that row."""
    told = [printed_rows.beside(project, experiment) for experiment, _ in results]
    if not all(name in each.rows for each in told):
        return {}
    return {d: n for d, n in numbers.items() if all(d in each.numbers for each in told)}


def markdown(found: dict[str, Any]) -> bytes:
    """A result table as Markdown."""
    columns = list(found["rows"][0])
    head = ["| " + " | ".join(map(heading, columns)) + " |", "|" + " --- |" * len(columns)]
    body = ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in found["rows"]]
    lines = [f"**{found['title']}**", "", *head, *body, "", found["note"], ""]
    return "\n".join(lines).encode()


def comma_separated(found: dict[str, Any]) -> bytes:
    """A result table as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found["rows"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found["rows"])
    return text.getvalue().encode()


def table_files(project: Project) -> list[Path]:
    """The tables that `reid table` has written, for the report."""
    return sorted((project.reports / "tables").glob("*.json"))
