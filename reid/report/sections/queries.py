"""Each experiment by its queries: its curve with the interval, how early matches come, cameras."""

from __future__ import annotations

from typing import Any

import numpy as np

from reid.report import plots
from reid.report.blocks import NONE, Figure, Section, Table, Text, percent, svg, table
from reid.report.intervals import interval, scores_of
from reid.report.sections.results import own_sections
from reid.results.built import BuiltData, Run, Runs

CAMERAS = 24  # columns of the table


def each(runs: Runs) -> list[Section]:
    """A section for each experiment that the table of results links to."""
    return [_section(runs.built, run) for run in own_sections(runs)]


def _section(built: BuiltData, run: Run) -> Section:
    blocks: list[Text | Table | Figure] = [Text(_told(run))]
    precision = precisions(run)
    if len(precision):
        blocks.append(_figure(run, precision))
    if (pairs := _pairs(built, run)) is not None:
        blocks.append(pairs)
    return Section(run.name, blocks, f"result {run.name}", f"experiment {run.name}")


def precisions(run: Run) -> np.ndarray:
    """(Q,) the average precision of each query that has a match."""
    lines = [line for line in run.ranked.values() if line["first_match"] > 0]
    return np.array([line["average_precision"] for line in lines], float)


def _told(run: Run) -> str:
    found = run.metrics or {}
    return (
        f"{run.paper}: rank-1 {percent(found.get('rank1'))} %, mAP {percent(found.get('map'))} %, "
        f"chance {percent(found.get('chance_rank1'))} %, {found.get('queries', 0):,} queries."
    )


def _figure(run: Run, precision: np.ndarray) -> Figure:
    """The curve and the histogram side by side."""
    curve = list((run.metrics or {}).get("cmc", []))
    scores = scores_of([run])
    band = None if scores is None else interval(scores.hits)[:, : len(curve)]
    quarters = np.quantile(precision, (0.25, 0.5, 0.75))
    told = " / ".join(percent(q) for q in quarters)
    around = (
        "The band is the 95 % bootstrap interval over queries."
        if band is not None
        else "The curve is not of the lists themselves, so that it has no interval."
    )
    caption = (
        f"Left the CMC curve. {around} Right the average precision of each query; quartiles "
        f"{told} %."
    )
    alt = f"CMC curve and histogram of average precision of {run.name}. Quartiles {told} %."
    return Figure(svg(plots.by_query(curve, band, precision)), alt, caption)


def _pairs(built: BuiltData, run: Run) -> Table | None:
    """How often the first gallery image is right, by the cameras of the query and of it."""
    first = firsts(built, run)
    if not first:
        return None
    queries, galleries = (sorted({pair[end] for pair in first}) for end in (0, 1))
    counts: dict[tuple[int, int], list[bool]] = {}
    for query, gallery, match in first:
        counts.setdefault((query, gallery), []).append(match)
    lines = []
    for query in queries[:CAMERAS]:
        line: dict[str, Any] = {"query by": f"camera {query}"}
        line["all"] = _share([m for q, _, m in first if q == query])
        line |= {f"camera {g}": _share(counts.get((query, g), [])) for g in galleries[:CAMERAS]}
        lines.append(line)
    most = max(len(queries), len(galleries))
    left = f" The first {CAMERAS} of {most} cameras." if most > CAMERAS else ""
    caption = (
        f"Camera pairs of {run.name}: of the queries of a camera whose first gallery image is of "
        f"the column's camera the share in which it is right, and their number.{left}"
    )
    return table(lines, caption)


def firsts(built: BuiltData, run: Run) -> list[tuple[int, int, bool]]:
    """Of each query that counts its camera, its first gallery image's, and whether that is right.

    Queries and images that are not in the data set any more are left out.
    """
    camera, position = built.data.labels("camera"), built.positions
    out = []
    for query, line in run.ranked.items():
        ids = [query, *line["gallery"][:1]]
        if line["first_match"] > 0 and len(ids) == 2 and all(name in position for name in ids):
            own, other = (int(camera[position[name]]) for name in ids)
            out.append((own, other, bool(line["match"][0])))
    return out


def _share(matches: list[bool]) -> str:
    return f"{100 * np.mean(matches):.1f} % of {len(matches):,}" if matches else NONE
