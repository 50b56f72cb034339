"""Compares two evaluated runs: the same queries with the first gallery images that each ranks.

Reads   3-runs/<experiment>/evaluate of both, the images of their data set
"""

from __future__ import annotations

import numpy as np

from reid.arrays import draw
from reid.look import pictures
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import built as sources

TOP = 5  # gallery images of each run
COLUMNS = 1 + 2 * (1 + TOP)  # the query; of each run an empty cell and its images


def compare(project: Project, first: str, second: str, queries: int = 3) -> np.ndarray:
    """For the same queries the first gallery images of two evaluated runs, side by side.

    The queries are sorted from the best on by average precision, mean over both runs, and cut into
    `queries` equal shares; the middle one of each share is shown.
    """
    if queries < 1:
        raise ReidError(f"queries: {queries}, must be at least 1")
    built, pair = _pair(project, first, second)
    order = sources.by_precision(pair)
    if not order:
        raise ReidError(f"{first} and {second}: no query that both ranked and that has a match")
    count = min(queries, len(order))
    chosen = [order[int((i + 0.5) * len(order) / count)] for i in range(count)]
    lines = np.concatenate([_line(built, pair, query) for query in chosen])
    about = (
        f"{built.name}: the first {TOP} of the gallery; a green frame and a tick: the same person, "
        "a red double frame and a cross: another. AP: average precision of the query"
    )
    step, edge = pictures.CELL_PX[1] + pictures.EDGE_PX, pictures.EDGE_PX
    names = {edge + 2 * step: first, edge + (3 + TOP) * step: second}
    return pictures.titled(lines, {edge: about}, names)


def _pair(project: Project, first: str, second: str) -> tuple[sources.BuiltData, list[sources.Run]]:
    """Two evaluated runs over one data set that is built."""
    known = {
        run.name: (dataset_runs.built, run)
        for dataset_runs in sources.runs(project, sources.built_data(project))
        for run in dataset_runs.evaluated
    }
    for name in (first, second):
        if name not in known or not known[name][1].ranked:
            raise ReidError(
                f"{name}: not evaluated; run `reid evaluate {name}` "
                f"(evaluated: {', '.join(known) or 'none'})"
            )
    built = [known[name][0] for name in (first, second)]
    if built[0].name != built[1].name:
        raise ReidError(f"{first} is on {built[0].name}, {second} on {built[1].name}; no pair")
    return built[0], [known[name][1] for name in (first, second)]


def _line(built: sources.BuiltData, pair: list[sources.Run], query: str) -> np.ndarray:
    """One query: its image, then of each run an empty cell and its first images."""
    person = built.persons[built.positions[query]] if query in built.positions else "?"
    cells, labels = [_image(built, query)], [f"query p{person}"]
    for run in pair:
        ranking = run.ranked[query]
        cells.append(pictures.empty())
        labels.append(f"AP {100 * ranking['average_precision']:.1f} %")
        listed = [*zip(ranking["gallery"], ranking["match"], strict=True)][:TOP]
        for rank, (image_id, match) in enumerate(listed, 1):
            image = _image(built, image_id)
            cells.append(None if image is None else pictures.framed(image, match))
            labels.append(f"{rank} {'right' if match else 'wrong'}")
        cells += [None] * (TOP - len(listed))
        labels += [""] * (TOP - len(listed))
    height, width = pictures.CELL_PX
    return draw.grid(
        cells, labels, columns=COLUMNS, height=height, width=width, gap=pictures.EDGE_PX
    )


def _image(built: sources.BuiltData, image_id: str) -> np.ndarray | None:
    """None where the data set was built anew without the image."""
    position = built.positions.get(image_id)
    return None if position is None else built.data.value("image", position)
