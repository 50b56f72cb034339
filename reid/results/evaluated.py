"""Our results of params.yaml's experiments, beside what the papers print of the same rows.

`reid tables` shows them, and the report. A metric has a short name here, which JSON and CSV keep as
their key (`r1`); readers see `reid.project.names.heading` of it (rank-1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from reid import experiments
from reid.data.dataset import ROLES
from reid.experiments import Experiment
from reid.papers import PAPERS
from reid.papers.table import Printed
from reid.project import params
from reid.project.layout import Project, read_object
from reid.results import printed_row as printed_rows
from reid.results.made_with import commit, kind_of, versions
from reid.shards.protocol import protocols_of

METRICS = {
    "r1": "rank1", "r5": "rank5", "r10": "rank10", "r20": "rank20", "r50": "rank50", "mAP": "map",
}  # fmt: skip
SHOWN = ("r1", "r5", "r10", "mAP")  # of every result; others where the paper prints them
NOT_PRINTED = "not printed"


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
    return f"{paper} on {described(project, dataset)}"


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


def described(project: Project, dataset: str) -> str:
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


def comparable(project: Project, experiment: Experiment) -> dict[str, Any] | None:
    """The same metrics, where features and ranked lists stand beside: compared query by query."""
    folder = project.run(experiment.name) / "evaluate"
    there = all((folder / name).is_file() for name in ("features.parquet", "ranked.parquet"))
    return metrics_of(project, experiment) if there else None


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
        lines.append({**line, **of_paper(headings(printed), numbers)})
    return lines


def metrics_shown(printed: Sequence[Printed], further: Collection[str] = ()) -> list[str]:
    """The usual metrics, and others that the paper prints."""
    named = {metric for _, metric in headings(printed)} | {*SHOWN, *further}
    return [metric for metric in METRICS if metric in named]


def headings(printed: Sequence[Printed]) -> list[tuple[str, str]]:
    """Data set and metric of all printed numbers."""
    return list(dict.fromkeys((d, m) for each in printed for d in each for m in each[d]))


def of_paper(headings: Sequence[tuple[str, str]], numbers: Printed) -> dict[str, Any]:
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


def spread(values: Sequence[float | None]) -> str:
    """Mean of raw values, and their standard deviation where there are several."""
    if None in values:
        return ""
    shares = 100 * np.asarray(values, float)
    if len(shares) == 1:
        return f"{shares[0]:.2f}"
    return f"{shares.mean():.2f} ± {shares.std(ddof=1):.2f}"
