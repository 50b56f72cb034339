"""All experiments in one table: means over trainings, intervals over queries, the best in bold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reid.report.blocks import NONE, Section, Table, percent, table, text_of
from reid.report.intervals import interval, scores_of
from reid.results import evaluated, tables
from reid.results.built import Run, Runs

SCORES = {"rank-1": "rank1", "rank-5": "rank5", "mAP": "map"}  # the best of each is in bold
TOLD = 4  # parameters in which a row that has no name of its own differs
SECTIONS = 12  # experiments of a data set that have a section of their own


@dataclass(frozen=True)
class Row:
    """Trainings that differ in their seeds, or in the random split, alone."""

    runs: Runs
    trainings: list[Run]

    @property
    def name(self) -> str:
        return self.trainings[0].name

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [run.metrics for run in self.trainings if run.metrics is not None]

    @property
    def compared(self) -> str:
        """Rows that say the same are scored alike, so that one of them is the best."""
        metrics = (self.metrics or [{}])[0]
        fields = ("protocol", "exclude", "average_precision", "single_gallery_shot", "gallery")
        rule = [tables.SPLIT.sub("", str(metrics.get(f))) for f in fields]
        return json.dumps([self.runs.built.name, rule])


def own_sections(runs: Runs) -> list[Run]:
    """The experiments that have a section of their own."""
    return [run for run in runs.shown if run.metrics and run.ranked][:SECTIONS]


def all_experiments(found: Sequence[Runs]) -> Section | None:
    """The table; a name leads to the experiment's own section, where it has one."""
    rows = [row for runs in found for row in rows_of(runs)]
    if not rows:
        return None
    shown = table([_line(row) for row in rows], _caption(rows))
    return Section("All experiments", [_marked(shown, rows)])


def rows_of(runs: Runs) -> list[Row]:
    """Trainings of equal parameters together, those first that params.yaml names."""
    alike: dict[str, list[Run]] = {}
    for run in [*runs.named, *runs.others]:
        apart = {"seed"}
        if tables.SPLIT.fullmatch(str(run.params.get("protocol"))):
            apart.add("protocol")
        shared = {name: value for name, value in run.params.items() if name not in apart}
        key = json.dumps([run.paper, run.metrics is None, shared or run.name], sort_keys=True)
        alike.setdefault(key, []).append(run)
    return [Row(runs, trainings) for trainings in alike.values()]


def _line(row: Row) -> dict[str, Any]:
    scores = scores_of(row.trainings) if row.metrics else None
    rank_1, precision = (scores.hits[:, 0], scores.average_precision) if scores else (None, None)
    counts = [int(metrics.get("queries", 0)) for metrics in row.metrics]
    queries = {min(counts), max(counts)} if counts else set[int]()
    line = {
        "data set": row.runs.built.name,
        "experiment": row.name,
        "rank-1": _mean(row, "rank1"),
        "rank-1, 95 %": _bounds(rank_1),
        "mAP": _mean(row, "map"),
        "mAP, 95 %": _bounds(precision),
        "rank-5": _mean(row, "rank5"),
        "chance rank-1": _mean(row, "chance_rank1"),
        "queries": " to ".join(f"{n:,}" for n in sorted(queries)),
        "seed": _seeds(row.trainings),
        "paper": row.trainings[0].paper,
    }
    differs = _differs(row)
    return {**line, "differs in": differs} if differs else line


def _mean(row: Row, metric: str) -> str:
    values = [float(m[metric]) for m in row.metrics if m.get(metric) is not None]
    if metric == "chance_rank1" or len(values) < 2:
        return percent(float(np.mean(values))) if values else NONE
    return evaluated.spread(values)


def _bounds(values: np.ndarray | None) -> str:
    if values is None:
        return NONE
    low, high = interval(values)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _seeds(trainings: list[Run]) -> str:
    """The seeds, and how many splits where there are several."""
    seeds = sorted({str(run.params.get("seed", NONE)) for run in trainings})
    splits = len({str(run.params.get("protocol")) for run in trainings})
    return ", ".join(seeds) + (f"; {splits} splits" if splits > 1 else "")


def _differs(row: Row) -> str:
    """Of a row that params.yaml does not name what sets it apart on its data set."""
    if any(run in row.runs.named for run in row.trainings):
        return ""
    alike = [r.params for r in [*row.runs.named, *row.runs.others]
             if r.paper == row.trainings[0].paper]  # fmt: skip
    params = row.trainings[0].params
    names = [n for n in params if n not in ("seed", "protocol")
             and len({json.dumps(p.get(n), sort_keys=True) for p in alike}) > 1]  # fmt: skip
    told = ", ".join(f"{name} {text_of(params[name])}" for name in names[:TOLD])
    return told + (", ..." if len(names) > TOLD else "")


def _marked(shown: Table, rows: list[Row]) -> Table:
    """The best of what is scored alike in bold, and names that lead to sections."""
    columns = [cell.text for cell in shown.columns]
    cells = [list(line) for line in shown.rows]
    having = {run.name for row in rows for run in own_sections(row.runs)}
    for line, row in zip(cells, rows, strict=True):
        at = columns.index("experiment")
        link = f"experiment {row.name}" if row.name in having else ""
        line[at] = replace(line[at], link=link, name=f"result {row.name}")
    for title, metric in SCORES.items():
        value = [_value(row, metric) for row in rows]
        at = columns.index(title)
        for i, row in enumerate(rows):
            rivals = [v for v, r in zip(value, rows, strict=True) if r.compared == row.compared]
            best = len(rivals) > 1 and value[i] == max(rivals) > -1
            cells[i][at] = replace(cells[i][at], best=best)
    return replace(shown, rows=cells)


def _value(row: Row, metric: str) -> float:
    values = [float(m[metric]) for m in row.metrics if m.get(metric) is not None]
    return round(float(np.mean(values)), 4) if values else -1.0


def _caption(rows: list[Row]) -> str:
    several = any(len(row.trainings) > 1 for row in rows)
    spread = " Of several trainings mean and sample deviation." if several else ""
    return (
        f"Percent of the queries that count.{spread} In bold the best on a data set of the rows "
        "that are scored alike. 95 %: the bootstrap interval over queries, none where the score "
        "is not of the ranked lists themselves; it does not hold the spread of seeds. Chance: rank "
        "1 of a random order."
    )
