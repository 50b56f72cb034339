"""The picture of README.md: an image, its joints, mask and parts, a ranked list, a CMC curve.

Run it where the demo is built: `python -m tests.strip docs/report.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reid.arrays import draw, images
from reid.project.layout import Project
from reid.report.intervals import interval, scores_of
from reid.results import built as sources
from reid.results.built import BuiltData, Run, Runs

HEIGHT_PX, WIDTH_PX = 256, 128  # of a person
MARGIN = 0.16  # part boxes exceed their image
SHOWN = 6  # gallery images of the list
RIGHT, WRONG = (0, 128, 60), (200, 30, 30)

Panels = dict[str, np.ndarray]


def main() -> None:
    """Draw the picture of the project in this folder."""
    figure = strip(Project(Path()))
    figure.savefig(sys.argv[1], dpi=110)


def strip(project: Project) -> Figure:
    """Panels side by side: what is built of the data sets, and the best run's list and curve."""
    built = sources.built_data(project)
    runs = [found for found in sources.runs(project, built) if found.evaluated]
    panels: Panels = {}
    for data in sorted(built, key=lambda data: -len(_columns(data))):
        panels = {**_of_data(data), **panels}
    pairs = [(found, run) for found in runs for run in found.named if run.ranked]
    best = max(pairs, key=_worth, default=None)
    if best is not None:
        panels |= _ranked(best[0].built, best[1])
    ratios = [image.shape[1] / image.shape[0] for image in panels.values()]
    ratios += [1.2] if best else []
    figure = Figure(figsize=(2.6 * sum(ratios), 2.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    for axis, (title, image) in zip(axes, panels.items(), strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    if best is not None:
        _curve(axes[-1], best[1])
    return figure


def _worth(pair: tuple[Runs, Run]) -> tuple[int, float]:
    """First a run on the data set of the other pictures, then the best."""
    return len(_columns(pair[0].built)), float((pair[1].metrics or {})["rank1"])


def _columns(built: BuiltData) -> list[str]:
    return [c for c in ("joints", "mask", "parts") if built.has(c)]


def _of_data(built: BuiltData) -> Panels:
    """The middle image that all of it is there for."""
    columns = _columns(built)
    rows = [i for i in range(len(built.data)) if built.persons[i] > 0
            and all(built.data.value(c, i) is not None for c in columns)]  # fmt: skip
    if not columns or not rows:
        return {}
    position = rows[len(rows) // 2]
    value = {c: built.data.value(c, position) for c in ("image", *columns)}
    scale = np.array([WIDTH_PX, HEIGHT_PX]) / value["image"].shape[1::-1]
    image = images.resize(value["image"], HEIGHT_PX, WIDTH_PX)
    out = {"image": image}
    if "joints" in columns:
        joints = np.concatenate([value["joints"][:, :2] * scale, value["joints"][:, 2:]], 1)
        out["joints"] = draw.joints(image.copy(), joints)
    if "mask" in columns:
        mask = images.resize(value["mask"].astype(np.uint8) * 255, HEIGHT_PX, WIDTH_PX) > 127
        out["mask"] = draw.mask_over(image, mask)
    if "parts" in columns:
        wide, pixels = draw.margin(image, MARGIN)
        out["part boxes"] = draw.boxes(wide, value["parts"] * np.tile(scale, 2) + pixels)
    return out


def _ranked(built: BuiltData, run: Run) -> Panels:
    """The query whose average precision is the median, and its first gallery images."""
    counted = [q for q, line in run.ranked.items() if line["first_match"] > 0]
    counted.sort(key=lambda q: (run.ranked[q]["average_precision"], q))
    query = counted[len(counted) // 2]
    line = run.ranked[query]
    cells = [_framed(built, query, draw.WHITE)]
    for image_id, match in zip(line["gallery"][:SHOWN], line["match"], strict=False):
        cells.append(_framed(built, image_id, RIGHT if match else WRONG))
    return {f"{run.name}: a query of median AP, its first images": np.concatenate(cells, 1)}


def _framed(built: BuiltData, image_id: str, colour: tuple[int, int, int]) -> np.ndarray:
    image = images.resize(built.data.value("image", built.positions[image_id]), HEIGHT_PX, WIDTH_PX)
    image[:6], image[-6:], image[:, :6], image[:, -6:] = (colour,) * 4
    return np.pad(image, ((0, 0), (4, 4), (0, 0)), constant_values=255)


def _curve(axis, run: Run) -> None:
    cmc = 100 * np.asarray((run.metrics or {})["cmc"])
    ranks = np.arange(1, len(cmc) + 1)
    scores = scores_of([run])
    if scores is not None:
        low, high = 100 * interval(scores.hits)[:, : len(cmc)]
        axis.fill_between(ranks[: len(low)], low, high, alpha=0.25, lw=0)
    axis.plot(ranks, cmc)
    axis.set_ylim(0, 102)
    axis.set_title("CMC, % by rank, 95 % interval", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(color="#e4e4e4")


if __name__ == "__main__":
    main()
