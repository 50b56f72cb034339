"""Our results beside the papers': those of params.yaml's experiments, and whole tables of a paper.

`reid tables` shows what is evaluated; `reid table` trains and evaluates each row of a printed
table over several seeds. Rows that are one and the same training are trained once. Nothing is
trained or evaluated again that is there already, so a stopped table goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import params
from pipeline.core.errors import ReidError
from pipeline.core.project import Project, as_json, write_atomically
from reid import experiments
from reid.experiments import Experiment
from reid.papers import PAPERS
from reid.tables import Row, Table

METRICS = {"rank1": "r1", "rank5": "r5", "rank10": "r10", "map": "mAP"}
NOT_PRINTED = "not printed"


def evaluated(project: Project) -> dict[str, list[dict[str, Any]]]:
    """For each paper and data set a table: our experiments, and what the paper prints of each.

    Papers are evaluated on other data sets than a rendered world: its name stands in the title.
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
            found.setdefault(title, []).append(_line(experiment, result))
    return found


def _described(project: Project, dataset: str) -> str:
    """A data set's name with its size, as a result on a rendered world must say it."""
    protocol = json.loads((project.shards(dataset) / "protocol.json").read_text("utf-8"))
    built = protocol["built"]
    return (
        f"{dataset} ({built['train']['images']:,} training images of "
        f"{built['train']['identities']} persons; {built['query']['images']:,} queries, "
        f"{built['gallery']['images']:,} gallery images)"
    )


def metrics_of(project: Project, experiment: Experiment) -> dict[str, Any] | None:
    """The published metrics, None where it is not evaluated with these parameters."""
    path = project.run(experiment.name) / "evaluate" / "metrics.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if found["params"] == experiment.described() else None


def _line(experiment: Experiment, result: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {"experiment": experiment.name}
    line |= {short: percent(result[name]) for name, short in METRICS.items()}
    line["chance r1"] = percent(result["chance_rank1"])
    row = _printed_row(experiment)
    for dataset, numbers in (row.printed if row else {}).items():
        for metric, value in numbers.items():
            line[f"paper, {dataset} {metric}"] = value
    return line


def _printed_row(experiment: Experiment) -> Row | None:
    """The row of the paper's headline table whose parameters are this experiment's."""
    code = experiment.code
    for row in code.TABLES[code.HEADLINE].rows:
        wanted = row.overrides
        if wanted and all(getattr(experiment.params, k) == v for k, v in wanted.items()):
            return row
    return None


def percent(share: float) -> str:
    """A share as the papers print it."""
    return f"{100 * share:.2f}"


def find_table(paper: str, number: str) -> Table:
    """A printed table of a paper by its number."""
    tables = {str(k): t for k, t in experiments.paper_module(paper).TABLES.items()}
    if number not in tables:
        raise ReidError(f"{paper} has no table `{number}` (it has {', '.join(tables)})")
    return tables[number]


def run_table(
    project: Project, paper: str, number: str, dataset: str, seeds: int, device: str,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Train and evaluate what is missing of a table; rows with mean and spread over `seeds`.

    Also written to 4-reports/tables as JSON and Markdown.
    """
    table = find_table(paper, number)
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {"row": row.name}
        if row.overrides is not None:
            results = [
                _result(project, paper, dataset, {**row.overrides, "seed": seed}, device, say)
                for seed in range(seeds)
            ]
            line |= {short: spread([r[name] for r in results]) for name, short in METRICS.items()}
        else:
            line |= dict.fromkeys(METRICS.values(), "")
        lines.append({**line, **_printed(table, row)})
    found = {
        "title": f"{paper}, table {number}: {table.title}. Ours on {_described(project, dataset)}, "
        f"{seeds} seed{'s' if seeds > 1 else ''}",
        "rows": lines,
        "note": table.note,
    }
    stem = project.reports / "tables" / f"{paper}-{number}-{dataset}"
    write_atomically(stem.with_suffix(".json"), as_json(found))
    write_atomically(stem.with_suffix(".md"), markdown(found).encode())
    return found


def _printed(table: Table, row: Row) -> dict[str, Any]:
    """The paper's numbers of a row under every heading that the table has."""
    headings = [(d, m) for r in table.rows for d, ms in r.printed.items() for m in ms]
    return {
        f"paper, {dataset} {metric}": row.printed.get(dataset, {}).get(metric, NOT_PRINTED)
        for dataset, metric in dict.fromkeys(headings)
    }


def _result(
    project: Project, paper: str, dataset: str, overrides: dict[str, Any], device: str,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """The metrics of one row and seed, trained and evaluated where that is not done yet."""
    experiment = experiments.variant(project, paper, dataset, overrides)
    found = metrics_of(project, experiment)
    if found is None:
        from reid.evaluate import evaluate
        from reid.train import train

        say(f"{experiment.name}: {', '.join(f'{k} {v}' for k, v in overrides.items())}")
        train(experiment, project, device=device)
        found = evaluate(experiment, project, device=device)
    return found


def spread(values: list[float]) -> str:
    """Mean of raw values, and their standard deviation where there are several."""
    shares = 100 * np.asarray(values)
    if len(shares) == 1:
        return f"{shares[0]:.2f}"
    return f"{shares.mean():.2f} ± {shares.std(ddof=1):.2f}"


def markdown(found: dict[str, Any]) -> str:
    """A result table as Markdown."""
    columns = list(found["rows"][0])
    head = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    body = ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in found["rows"]]
    return "\n".join([f"**{found['title']}**", "", *head, *body, "", found["note"], ""])


def table_files(project: Project) -> list[Path]:
    """The tables that `reid table` has written, for the report."""
    return sorted((project.reports / "tables").glob("*.json"))
