"""Scores against the probability of a swap, as the figure of implicit attention has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from reid.papers.implicit_attention.sections import swaps
from reid.report import plots
from reid.report.blocks import Figure, Section, Table, svg, table
from reid.results import evaluated as results
from reid.results.built import Run, Runs
from reid.results.of_now import experiment_of_now
from reid.results.printed_row import beside

NAME = "implicit_attention"
APART = {"swap_probability", "seed", "builds"}  # all other parameters are equal along a line
TOLD = {"rank-1": "r1", "rank-5": "r5", "rank-10": "r10", "rank-50": "r50", "mAP": "mAP"}
DRAWN = ("rank-1", "mAP")
PRINTED = ("r1", "r5", "r10", "mAP")  # of the paper
BASELINE = "none"

Lines = dict[str, dict[float, list[Run]]]  # by region and probability, one run a seed


def by_probability(runs: Runs) -> Section | None:
    """A plot and a table for all runs whose other parameters are equal."""
    blocks: list[Figure | Table] = []
    together = alike(runs)
    for group in together:
        lines = _lines(runs, group)
        if len({p for points in lines.values() for p in points}) > 1:
            params = group[0].params
            name = str(params.get("configuration", ""))
            apart = _apart(params, [other[0].params for other in together])
            title = f"{name} {apart}".strip().capitalize()
            blocks += [_plot(lines, title, runs.built.name), _table(runs, lines, title)]
    return Section("Scores by the probability of a swap", blocks) if blocks else None


def alike(runs: Runs) -> list[list[Run]]:
    """The evaluated runs of the paper that are of the data as built now, equal ones together."""
    groups: dict[str, list[Run]] = {}
    for run in runs.evaluated:
        if experiment_of_now(runs, run, NAME) is not None:
            shared = {name: value for name, value in run.params.items() if name not in APART}
            groups.setdefault(json.dumps(shared, sort_keys=True), []).append(run)
    return list(groups.values())


def _apart(params: dict[str, Any], everyone: list[dict[str, Any]]) -> str:
    """The parameters in which groups differ, beside the configuration, which names them."""
    names = [n for n in params if n not in {*APART, "configuration"}]
    told = [n for n in names if len({json.dumps(p.get(n)) for p in everyone}) > 1]
    return f"({', '.join(f'{n} {params[n]}' for n in told)})" if told else ""


def _lines(runs: Runs, group: list[Run]) -> Lines:
    """Lines of the regions that are swapped; all begin at the baseline, without swaps."""
    names = {build.name: name for name, build in swaps.backgrounds(runs.built).items()}
    found: dict[str, dict[float, dict[int, Run]]] = {name: {} for name in names.values()}
    baseline: dict[int, Run] = {}
    for run in group:
        probability, seed = float(run.params["swap_probability"]), int(run.params["seed"])
        build = str(run.params.get("builds", {}).get("backgrounds", runs.built.name))
        line = found.setdefault(names.get(build, build), {})
        (line.setdefault(probability, {}) if probability else baseline).setdefault(seed, run)
    start = {0.0: [*baseline.values()]} if baseline else {}
    return {
        name: start | {p: [*line[p].values()] for p in sorted(line)}
        for name, line in found.items()
        if line
    }


def _plot(lines: Lines, title: str, dataset: str) -> Figure:
    panels = {
        f"{metric}, %": {
            name: {p: [100 * _value(run, metric) for run in at] for p, at in points.items()}
            for name, points in lines.items()
        }
        for metric in DRAWN
    }
    told = "; ".join(
        f"{name}: rank-1 " + ", ".join(f"{np.mean(v):.1f} % at {p:g}" for p, v in points.items())
        for name, points in panels["rank-1, %"].items()
    )
    caption = (
        f"{title}, on {dataset}. 0 is the baseline, without swaps. Lines go through the means over "
        "seeds, each of which is a faint dot."
    )
    alt = f"{title}: scores by the probability of a swap. {told}."
    return Figure(svg(plots.means(panels, "probability of a swap")), alt, caption)


def _table(runs: Runs, lines: Lines, title: str) -> Table:
    told = [
        _told(runs, name if p else BASELINE, p, at)
        for name, points in lines.items()
        for p, at in points.items()
    ]
    once = [line for i, line in enumerate(told) if line not in told[:i]]
    caption = (
        f"{title}: percent, mean and spread over seeds. The paper's numbers are of RAP, not of a "
        "rendered world; those of its figure that no table has are not printed."
    )
    return table(once, caption)


def _value(run: Run, metric: str) -> float:
    return results.measured(run.metrics or {}, TOLD[metric]) or 0.0


def _told(runs: Runs, name: str, probability: float, at: list[Run]) -> dict[str, Any]:
    """One line of the table."""
    scores = {
        metric: results.spread([results.measured(run.metrics or {}, short) for run in at])
        for metric, short in TOLD.items()
    }
    printed = _printed(runs, at[0])
    paper = {
        f"paper, RAP {m}": f"{printed[m]:.1f}" if m in printed else results.NOT_PRINTED
        for m in PRINTED
    }
    return {"swaps": name, "p": probability, "seeds": len(at), **scores, **paper}


def _printed(runs: Runs, run: Run) -> Mapping[str, float]:
    """The paper's numbers of the same configuration, region and probability."""
    experiment = experiment_of_now(runs, run, NAME)
    if experiment is None:
        return {}
    return beside(runs.built.project, experiment).numbers.get("rap", {})
