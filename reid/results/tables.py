"""Our results beside the papers': those of params.yaml's experiments, and whole tables of a paper.

`reid tables` shows what is evaluated; `reid table` trains and evaluates each row of a printed
table over several seeds. Rows that are one and the same training are trained once. Nothing is
trained or evaluated again that is there already, so a stopped table goes on where it was.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid import experiments
from reid.data.dataset import ROLES
from reid.experiments import Experiment
from reid.papers import PAPERS, paper_of
from reid.papers.table import Row, Table
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, builder_of, write_atomically
from reid.results.made_with import kind_of, made_with
from reid.shards.manifest import manifest_of, read_manifest
from reid.shards.protocol import protocols_of

METRICS = {
    "r1": "rank1", "r5": "rank5", "r10": "rank10", "r20": "rank20", "r50": "rank50", "mAP": "map",
}  # fmt: skip
SHOWN = ("r1", "r5", "r10", "mAP")  # of every result; others where the paper prints them
NOT_PRINTED = "not printed"
SPLIT = re.compile(r"(split|random|classic)-\d+")  # the name of one random split of several


def evaluated(project: Project) -> dict[str, list[dict[str, Any]]]:
    """For each paper and data set a table: our experiments, and what the paper prints of each.

    Papers are evaluated on other data sets than a rendered world: the title says which it is.
    """
    loaded = params.load(project.root)
    found: dict[str, list[dict[str, Any]]] = {}
    for paper in PAPERS:
        for name in params.section(loaded, paper, "on"):
            experiment = experiments.load(project, name)
            result = metrics_of(project, experiment)
            if result is None:
                continue
            title = f"{paper} on {_described(project, experiment.params.dataset)}"
            found.setdefault(title, []).append(_line(project, experiment, result))
    return found


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


def metrics_of(project: Project, experiment: Experiment) -> dict[str, Any] | None:
    """The published metrics, None where they are not of this training on the data as built now."""
    path = project.run(experiment.name) / "evaluate" / "metrics.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    same = found["params"] == experiment.described()
    same = same and found.get("code") == experiment.test_code(project).fingerprint
    return found if same and found.get("training") == experiment.key(project) else None


def _line(project: Project, experiment: Experiment, result: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {"experiment": experiment.name, "seed": experiment.params.seed}
    line |= {short: percent(measured(result, short)) for short in SHOWN}
    line["chance r1"] = percent(result.get("chance_rank1"))
    row = _printed_row(experiment, made_from(project, experiment.params.dataset))
    for dataset, numbers in (row.printed if row else {}).items():
        for metric, value in numbers.items():
            line[f"paper, {dataset} {metric}"] = value
    return line


def made_from(project: Project, dataset: str) -> bool:
    """Whether a stage made a data set of this one, such as crops of its frames."""
    for path in sorted((project.root / "data" / "2-derived").glob("*/*/manifest.json")):
        told = read_manifest(path.parent)
        if told and told.get("new_rows") and told["dataset"] == dataset:
            return True
    return False


def _printed_row(experiment: Experiment, source: bool = False) -> Row | None:
    """The printed row whose parameters are this experiment's.

    It is of the paper's headline table; of all tables where the data set is the `source` of
    another one and a row is of such.
    """
    tables, headline = experiment.paper.tables, experiment.paper.headline
    of_source = [row for table in tables.values() for row in table.rows if row.of_source]
    rows = (
        of_source if source and of_source else tables[headline].rows if headline is not None else ()
    )
    varied = {stage for row in rows for stage in row.stages}  # of which rows say the build
    for row in rows:
        built_so = set(row.stages) == varied & set(experiment.other_builds)
        wanted = row.overrides
        if (
            wanted
            and built_so
            and all(getattr(experiment.params, k) == v for k, v in wanted.items())
        ):
            return row
    return None


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

    def results(self, row: Row, seeds: int) -> list[dict[str, Any]]:
        """The metrics of one row for each split and seed."""
        dataset = source_of(self.project, self.dataset) if row.of_source else self.dataset
        rules = splits_of(self.project, dataset, self.splits) if self.splits else [""]
        return [
            self.result(row, dataset, {"seed": seed, **({"protocol": rule} if rule else {})})
            for rule in rules
            for seed in range(seeds)
        ]

    def result(self, row: Row, dataset: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """The metrics of one row, trained and evaluated where that is not done yet.

        `chosen` are seed and rule, which a table's rows do not differ in.
        """
        overrides = {**(row.overrides or {}), **chosen}
        builds = {
            stage: self.build(self.project, stage, dataset, values)
            for stage, values in row.stages.items()
        }
        wanted = {**overrides, "builds": builds} if builds else overrides
        experiment = experiments.variant(self.project, self.paper, dataset, wanted)
        found = metrics_of(self.project, experiment)
        if found is None:
            from reid.evaluation.evaluate import evaluate
            from reid.training.train import train

            self.say(f"{experiment.name}: {', '.join(f'{k} {v}' for k, v in wanted.items())}")
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
    printed = {m for row in table.rows for numbers in row.printed.values() for m in numbers}
    shown = [m for m in METRICS if m in SHOWN or m in printed]
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {"row": row.name}
        if row.overrides is not None and (not only or row.name in only):
            results = run.results(row, seeds)
            line |= {m: spread([measured(r, m) for r in results]) for m in shown}
        else:
            line |= dict.fromkeys(shown, "")
        lines.append({**line, **_printed(table, row)})
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


def _printed(table: Table, row: Row) -> dict[str, Any]:
    """The paper's numbers of a row under every heading that the table has."""
    headings = [(d, m) for r in table.rows for d, ms in r.printed.items() for m in ms]
    return {
        f"paper, {dataset} {metric}": row.printed.get(dataset, {}).get(metric, NOT_PRINTED)
        for dataset, metric in dict.fromkeys(headings)
    }


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
