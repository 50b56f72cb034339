"""Scores against the frames of a clip, as table 3 of mutual attention has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from reid.papers.mutual_attention.printed import TABLE_3
from reid.report import plots
from reid.report.blocks import Figure, Section, Table, svg, table
from reid.results import evaluated as results
from reid.results.built import Run, Runs
from reid.results.of_now import experiment_of_now
from reid.results.printed_row import beside

NAME = "mutual_attention"
LENGTH = "sequence_length"
REPEATS = ("seed", "protocol")  # trainings that differ in these alone are one point, their mean
DRAWN = {"rank-1": "r1", "mAP": "mAP"}
LINES = 8  # in the plot

Points = dict[int, list[Run]]  # by the frames of a clip one run of each training
Lines = dict[str, Points]  # by the model's name


def by_length(runs: Runs) -> Section | None:
    """Of models that are evaluated with clips of several lengths, all else being equal."""
    found = lines(runs)
    return Section("Table 3: frames of a clip", [_plot(runs, found), _table(runs, found)]) if (
        found
    ) else None  # fmt: skip


def lines(runs: Runs) -> Lines:
    """The models with at least two lengths, also those of tables; a training counts once."""
    alike: dict[str, dict[int, dict[str, Run]]] = {}
    told: dict[str, dict[str, Any]] = {}
    for run in runs.evaluated:
        if (experiment := experiment_of_now(runs, run, NAME)) is not None:
            params = experiment.described()
            shared = {n: v for n, v in params.items() if n not in (LENGTH, *REPEATS)}
            key = json.dumps(shared, sort_keys=True)
            told[key] = shared
            trainings = alike.setdefault(key, {}).setdefault(int(params[LENGTH]), {})
            trainings.setdefault(json.dumps([params.get(name) for name in REPEATS]), run)
    several = {key: points for key, points in alike.items() if len(points) > 1}
    names = _names([told[key] for key in several])
    found = [
        {length: [*points[length].values()] for length in sorted(points)}
        for points in several.values()
    ]
    return dict(sorted(zip(names, found, strict=True), key=lambda line: _place(line[0])))


def _names(models: list[dict[str, Any]]) -> list[str]:
    """Each model as the table has it, and the parameters in which two of one name differ."""
    names = []
    for params in models:
        same = [other for other in models if _method(other) == _method(params)]
        apart = [
            f"{name} {_words(params.get(name))}"
            for name in params
            if len({json.dumps(other.get(name)) for other in same}) > 1
        ]
        names.append(f"{_method(params)} ({', '.join(apart)})" if apart else _method(params))
    return names


def _method(params: Mapping[str, Any]) -> str:
    """A model's name in table 3; one that has no row there by its parameters."""
    for row in TABLE_3.rows:
        wanted = {n: v for n, v in (row.overrides or {}).items() if n != LENGTH}
        if all(params.get(name) == value for name, value in wanted.items()):
            return row.name.rpartition(", ")[0]
    return f"{params['model']}, {params['aggregation']}".replace("_", " ")


def _place(name: str) -> tuple[int, str]:
    """Where a line stands: in the order of the table, those that have no row there last."""
    order = list(dict.fromkeys(row.name.rpartition(", ")[0] for row in TABLE_3.rows))
    return next((i for i, method in enumerate(order) if name.startswith(method)), len(order)), name


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plot(runs: Runs, found: Lines) -> Figure:
    shown = dict([*found.items()][:LINES])
    panels: dict[str, dict[str, dict[float, list[float]]]] = {
        f"{metric}, %": {
            name: {
                length: [100 * (results.measured(run.metrics or {}, short) or 0) for run in at]
                for length, at in points.items()
            }
            for name, points in shown.items()
        }
        for metric, short in DRAWN.items()
    }
    told = "; ".join(
        f"{name}: rank-1 " + ", ".join(f"{np.mean(v):.1f} % at {n}" for n, v in points.items())
        for name, points in panels["rank-1, %"].items()
    )
    left = f" The first {LINES} of {len(found)} models." if len(found) > LINES else ""
    repeated = any(len(at) > 1 for points in shown.values() for at in points.values())
    means = " Lines go through the means over trainings, each a faint dot." if repeated else ""
    caption = (
        f"Scores on {runs.built.name} by the frames of a training clip, which test clips have too; "
        f"all other parameters are equal along a line.{means}{left}"
    )
    alt = f"Scores by the frames of a clip on {runs.built.name}. {told}."
    return Figure(svg(plots.means(panels, "frames of a clip")), alt, caption)


def _table(runs: Runs, found: Lines) -> Table:
    lines = [
        _line(runs, name, length, at)
        for name, points in found.items()
        for length, at in points.items()
    ]
    caption = (
        "Percent, mean and spread over trainings. The paper's numbers are of MARS, not of a "
        "rendered world."
    )
    return table(lines, caption)


def _line(runs: Runs, name: str, length: int, at: list[Run]) -> dict[str, Any]:
    scores = {
        metric: results.spread([results.measured(run.metrics or {}, short) for run in at])
        for metric, short in DRAWN.items()
    }
    printed = _printed(runs, at[0])
    paper = {
        f"paper, MARS {metric}": f"{printed[short]:.1f}" if printed else results.NOT_PRINTED
        for metric, short in DRAWN.items()
    }
    return {"model": name, "frames": length, "trainings": len(at), **scores, **paper}


def _printed(runs: Runs, run: Run) -> Mapping[str, float]:
    """The paper's numbers of the same model with clips of this length; none where it has none."""
    experiment = experiment_of_now(runs, run, NAME)
    if experiment is None:
        return {}
    return beside(runs.built.project, experiment, [3]).numbers.get("mars", {})
