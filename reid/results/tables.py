"""Our results beside the papers': those of params.yaml's experiments, and whole tables of a paper.

`reid tables` shows what is evaluated; `reid table` trains and evaluates each row of a printed
table over several seeds. Rows that are one and the same training are trained once. Nothing is
trained or evaluated again that is there already, so a stopped table goes on where it was.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reid import experiments
from reid.data.dataset import ROLES
from reid.experiments import Experiment
from reid.papers import PAPERS, paper_of
from reid.papers.table import Printed, Row, Table
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, builder_of, read_object, write_atomically
from reid.results import printed_row as printed_rows
from reid.results.made_with import commit, kind_of, made_with, versions
from reid.shards.manifest import manifest_of
from reid.shards.protocol import protocols_of

METRICS = {
    "r1": "rank1", "r5": "rank5", "r10": "rank10", "r20": "rank20", "r50": "rank50", "mAP": "map",
}  # fmt: skip
SHOWN = ("r1", "r5", "r10", "mAP")  # of every result; others where the paper prints them
NOT_PRINTED = "not printed"
SPLIT = re.compile(r"(split|random|classic)-\d+")  # the name of one random split of several


def evaluated(project: Project) -> dict[str, list[dict[str, Any]]]:
    """For each paper and data set a table: our experiments, and what the paper prints of each.

    A printed number is of the experiment's very row (`printed_row`), headed by its data set: on a
    rendered world, whose name stands in the title, that is another one.
    """
    return {_title(project, *key): lines for key, lines in _evaluated(project).items()}


def evaluated_object(project: Project) -> dict[str, Any]:
    """The same for programs: tables with data set and its kind, and the code and versions."""
    tables = [
        {
            "title": _title(project, paper, dataset), "paper": paper, "dataset": dataset,
            "kind": kind_of(project, dataset), "seeds": sorted({line["seed"] for line in lines}),
            "rows": lines,
        }
        for (paper, dataset), lines in _evaluated(project).items()
    ]  # fmt: skip
    return {"code": commit(), "versions": versions(), "tables": tables}


def _title(project: Project, paper: str, dataset: str) -> str:
    return f"{paper} on {_described(project, dataset)}"


def _evaluated(project: Project) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The lines of each paper and data set."""
    loaded = params.load(project.root)
    found: dict[tuple[str, str], list[tuple[Experiment, dict[str, Any]]]] = {}
    for paper in PAPERS:
        for name in params.section(loaded, paper, "on"):
            experiment = experiments.load(project, name)
            result = metrics_of(project, experiment)
            if result is None:
                continue
            found.setdefault((paper, experiment.params.dataset), []).append((experiment, result))
    return {key: _lines(project, results) for key, results in found.items()}


def _described(project: Project, dataset: str) -> str:
    """A data set's name with its kind and size, as a result on a rendered world must say it."""
    protocol = protocols_of(project.shards(dataset))
    built, found = protocol.get("built"), protocol.get("found", {})
    kind = kind_of(project, dataset)
    if built is None:
        return f"{dataset} ({kind})"
    if all(f"{role}_tracklets" in found for role in ROLES):
        return (
            f"{dataset} ({kind}; {found['train_tracklets']:,} training tracklets of "
            f"{built['train']['identities']} persons; {found['query_tracklets']:,} queries, "
            f"{found['gallery_tracklets']:,} gallery tracklets)"
        )
    return (
        f"{dataset} ({kind}; {built['train']['images']:,} training images of "
        f"{built['train']['identities']} persons; {built['query']['images']:,} queries, "
        f"{built['gallery']['images']:,} gallery images)"
    )


METRICS_OF = {"params": dict}  # entries that are asked for here


def metrics_of(project: Project, experiment: Experiment) -> dict[str, Any] | None:
    """The published metrics, None where they are not of this training on the data as built now."""
    path = project.run(experiment.name) / "evaluate" / "metrics.json"
    found = read_object(path, METRICS_OF, f"reid evaluate {experiment.name}")
    if found is None:
        return None
    same = found["params"] == experiment.described()
    same = same and found.get("code") == experiment.test_code(project).fingerprint
    return found if same and found.get("training") == experiment.key(project) else None


def _lines(
    project: Project, results: Sequence[tuple[Experiment, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Experiments on one data set, a line each under the same headings."""
    printed = [printed_rows.beside(project, experiment).numbers for experiment, _ in results]
    shown = metrics_shown(printed)
    lines = []
    for (experiment, result), numbers in zip(results, printed, strict=True):
        line: dict[str, Any] = {"experiment": experiment.name, "seed": experiment.params.seed}
        line |= {short: percent(measured(result, short)) for short in shown}
        line["chance r1"] = percent(result.get("chance_rank1"))
        lines.append({**line, **_of_paper(_headings(printed), numbers)})
    return lines


def metrics_shown(printed: Sequence[Printed], further: Collection[str] = ()) -> list[str]:
    """The usual metrics, and others that the paper prints."""
    named = {metric for _, metric in _headings(printed)} | {*SHOWN, *further}
    return [metric for metric in METRICS if metric in named]


def _headings(printed: Sequence[Printed]) -> list[tuple[str, str]]:
    """Data set and metric of all printed numbers."""
    return list(dict.fromkeys((d, m) for each in printed for d in each for m in each[d]))


def _of_paper(headings: Sequence[tuple[str, str]], numbers: Printed) -> dict[str, Any]:
    """The paper's numbers under all headings; one that says so where there are none at all."""
    if not headings:
        return {"paper": NOT_PRINTED}
    return {
        f"paper, {dataset} {metric}": numbers.get(dataset, {}).get(metric, NOT_PRINTED)
        for dataset, metric in headings
    }


def measured(result: dict[str, Any], metric: str) -> float | None:
    """A metric by its short name; None where the protocol has no such number."""
    name = METRICS[metric]
    if name in result or name == "map":
        return result.get(name)
    rank = int(metric[1:])  # not among those that are named: from the curve
    return result["cmc"][min(rank, len(result["cmc"])) - 1]


def percent(share: float | None) -> str:
    """A share as the papers print it; nothing where the protocol has no such number."""
    return "" if share is None else f"{100 * share:.2f}"


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
        found = metrics_of(self.project, experiment)
        if found is None:
            from reid.evaluation.evaluate import evaluate
            from reid.training.train import train

            self.say(f"{experiment.name}: {training.told}")
            train(experiment, self.project, device=self.device)
            found = evaluate(experiment, self.project, device=self.device)
        return found


def run_table(run: Run, number: str, seeds: int, only: Collection[str] = ()) -> dict[str, Any]:
    """Train and evaluate what is missing of a table; rows with mean and spread over `seeds`.

    With `only` no more than the rows of these names. Also written to 4-reports/tables as JSON, CSV
    and Markdown.
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
    lines = []
    for row, numbers in zip(table.rows, printed, strict=True):
        line: dict[str, Any] = {"row": row.name}
        if row.overrides is not None and (not only or row.name in only):
            results = run.results(row, seeds)
            line |= {m: spread([measured(r, m) for _, r in results]) for m in shown}
            numbers = _as_trained(run.project, f"{number}: {row.name}", numbers, results)
        else:
            line |= dict.fromkeys(shown, "")
        lines.append({**line, **_of_paper(_headings(printed), numbers)})
    found = {
        "title": f"{run.paper}, table {number}: {table.title}. Ours on "
        f"{_described(run.project, run.dataset)}, {_repeats(run.splits, seeds)}",
        "rows": lines,
        "note": " ".join(filter(None, (table.note, made_with()))),
    }
    stem = f"{run.paper}-{number}-{run.dataset.replace('/', '-')}"
    texts = {"json": as_json(found), "md": markdown(found), "csv": comma_separated(found)}
    for ending, text in texts.items():
        path = run.project.reports / "tables" / f"{stem}.{ending}"
        write_atomically(path, text, run.project.publishing)
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


def spread(values: Sequence[float | None]) -> str:
    """Mean of raw values, and their standard deviation where there are several."""
    if None in values:
        return ""
    shares = 100 * np.asarray(values, float)
    if len(shares) == 1:
        return f"{shares[0]:.2f}"
    return f"{shares.mean():.2f} ± {shares.std(ddof=1):.2f}"


def markdown(found: dict[str, Any]) -> bytes:
    """A result table as Markdown."""
    columns = list(found["rows"][0])
    head = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
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
