"""CMC curves of multimodal attention and its rivals in one plot, as the paper's figure 3."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from reid.papers.multimodal_attention.printed import FIGURE_3
from reid.papers.table import Row
from reid.report import plots
from reid.report.blocks import Figure, Section, Table, svg, table
from reid.results import evaluated as results
from reid.results.built import Run, Runs
from reid.results.of_now import experiment_of_now
from reid.results.printed_row import beside

NAME = "multimodal_attention"
APART = {"seed", "protocol"}  # trainings that differ in these alone are one curve, their mean
LINES = 12  # curves in the plot
TOLD = ("r1", "r5", "r10", "r20")

Groups = dict[str, list[Run]]  # by the name of a row of the figure, and what else tells apart


def curves(runs: Runs) -> Section | None:
    """All evaluated models of the paper on one data set, also those of its tables."""
    groups = by_model(runs)
    if not groups:
        return None
    return Section("Figure 3: CMC of the models", [_plot(runs, groups), _table(runs, groups)])


def by_model(runs: Runs) -> Groups:
    """The runs of the data as built now in the order of the figure; a training counts once."""
    alike: dict[str, dict[str, Run]] = {}
    for run in runs.evaluated:
        if (experiment := experiment_of_now(runs, run, NAME)) is not None:
            params = experiment.described()
            shared = {name: value for name, value in params.items() if name not in APART}
            trainings = alike.setdefault(json.dumps(shared, sort_keys=True), {})
            trainings.setdefault(json.dumps({n: params.get(n) for n in sorted(APART)}), run)
    groups = [[*trainings.values()] for trainings in alike.values()]
    order = [row.name for row in FIGURE_3.rows]
    groups.sort(key=lambda group: order.index(_row(group[0]).name))
    return dict(zip(_names(groups), groups, strict=True))


def _row(run: Run) -> Row:
    """The first row of figure 3 whose parameters are this run's; the last, MAT, for none."""
    for row in FIGURE_3.rows:
        if all(run.params.get(name) == value for name, value in (row.overrides or {}).items()):
            return row
    return FIGURE_3.rows[-1]


def _names(groups: list[list[Run]]) -> list[str]:
    """The rows' names, with the parameters in which groups of one row differ."""
    rows = [_row(group[0]) for group in groups]
    names = []
    for row, group in zip(rows, groups, strict=True):
        params = group[0].params
        same = [g[0].params for g, of in zip(groups, rows, strict=True) if of.name == row.name]
        told = [
            f"{name} {_words(params[name])}" for name in params
            if name not in APART and len({json.dumps(p.get(name)) for p in same}) > 1
        ]  # fmt: skip
        names.append(f"{row.name} ({', '.join(told)})" if told else row.name)
    return names


def _words(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def _plot(runs: Runs, groups: Groups) -> Figure:
    lines = {name: _mean(group) for name, group in [*groups.items()][:LINES]}
    every = [run for group in groups.values() for run in group]
    chance = max(float((run.metrics or {}).get("chance_rank1") or 0) for run in every)
    told = "; ".join(f"{name} {100 * shares[0]:.1f} %" for name, shares in lines.items())
    left = f" The first {LINES} of {len(groups)} models." if len(groups) > LINES else ""
    means = " Each is a mean over its trainings." if len(every) > len(groups) else ""
    caption = (
        f"The models of the paper's figure 3 on {runs.built.name}, also those of tables. "
        "RGB_att and D_att: the feature X8 of one modality, of MAT or trained by itself."
        f"{means}{left}"
    )
    alt = f"CMC curves by model on {runs.built.name}. Rank-1: {told}."
    return Figure(svg(plots.cmc(lines, chance)), alt, caption)


def _mean(group: list[Run]) -> list[float]:
    """The mean curve of several trainings, as long as the shortest."""
    found = [(run.metrics or {})["cmc"] for run in group]
    length = min(map(len, found))
    return np.mean([curve[:length] for curve in found], axis=0).tolist()


def _table(runs: Runs, groups: Groups) -> Table:
    printed = [_rank_1(runs, group[0]) for group in groups.values()]
    datasets = [*dict.fromkeys(dataset for each in printed for dataset in each)]
    lines = [
        {**_line(name, group), **_paper(datasets, each)}
        for (name, group), each in zip(groups.items(), printed, strict=True)
    ]
    caption = (
        "Percent, mean and spread over trainings. The paper draws the curves; its rank-1 is here "
        "where that follows from its text or tables, of its own data sets."
    )
    return table(lines, caption)


def _line(name: str, group: list[Run]) -> dict[str, Any]:
    scores = {
        f"rank-{short[1:]}": results.spread(
            [results.measured(r.metrics or {}, short) for r in group]
        )
        for short in TOLD
    }
    return {"model": name, "trainings": len(group), **scores}


def _rank_1(runs: Runs, run: Run) -> dict[str, float]:
    """The paper's rank-1 of a run, by data set."""
    experiment = experiment_of_now(runs, run, NAME)
    if experiment is None:
        return {}
    return {d: n["r1"] for d, n in beside(runs.built.project, experiment).numbers.items()}


def _paper(datasets: list[str], rank_1: dict[str, float]) -> dict[str, str]:
    return {
        f"paper, {d} rank-1": f"{rank_1[d]:.2f}" if d in rank_1 else results.NOT_PRINTED
        for d in datasets
    } or {"paper": results.NOT_PRINTED}
