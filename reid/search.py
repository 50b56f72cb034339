"""Uses a trained experiment: features of a data set, a search for one image, two runs compared.

Reads   3-runs/<experiment>/train and /evaluate (or /evaluate-on-<data set>), the data set's rows
Writes  features as Parquet that `reid score` reads; pictures as PNG
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from pipeline.core import draw, images
from pipeline.core.errors import ReidError
from pipeline.core.poses import strips
from pipeline.core.project import Project, write_atomically
from pipeline.core.shards import Shard, write_shard
from reid import metrics
from reid.data import Data
from reid.data import open as open_data
from reid.evaluate import LABELS, feature_table, features, folder_of, place_of, trained_network
from reid.experiments import Experiment
from reid.sections import sources

TOP = 5  # gallery images of each experiment in a comparison
CELL_PX = (160, 80)  # height and width of an image in a picture
TITLE_PX = 20
RIGHT, WRONG = (0, 158, 115), (213, 60, 40)  # frames; a tick and a cross say the same

STRIPS = "has no part boxes: the whole image and its four equal strips stand for them"


# -- features --------------------------------------------------------------------------------


def write_features(
    experiment: Experiment, project: Project, dataset: str, out: Path | None, device: str = "auto"
) -> tuple[Path, pa.Table]:
    """Test features of all rows of `dataset` with their labels, as `reid score` reads them.

    Where roles overlap one column cannot hold them, so they are the columns train, query and
    gallery. By default the file lies in the run's folder. Rows that a stage rejected are left out.
    """
    path = out or project.run(experiment.name) / f"features-on-{dataset}.parquet"
    if path.suffix != ".parquet":
        raise ReidError(f"{path}: must end in .parquet")
    place = place_of(device)
    data = open_data(project.root / "data", dataset, experiment.code.COLUMNS).complete()
    feature = features(experiment, project, data, place)
    table = feature_table(data.rows.select([*LABELS, "tracklet"]), feature)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_shard(path, table, {})
    except OSError as error:
        raise ReidError(f"{path}: cannot be written ({error.strerror})") from None
    return path, table


# -- search ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A query and the gallery images nearest to it."""

    query: np.ndarray  # (H, W, 3) uint8
    person: int | None  # of the query, where it is a row of the data set
    rows: list[dict[str, Any]]  # rank, image_id, person, camera, distance; nearest first
    pictures: list[np.ndarray]  # the rows' images
    note: str = ""


def search(
    experiment: Experiment, project: Project, image: str, *,
    dataset: str | None = None, top: int = 10, device: str = "auto",
) -> Found:  # fmt: skip
    """The `top` gallery images nearest to `image`: a file, or an image_id of the data set.

    All persons but junk are ranked, whatever the camera. A file has no part boxes; `note` says so.
    """
    if top < 1:
        raise ReidError(f"top: {top}, must be at least 1")
    name = dataset or experiment.params.dataset
    place = place_of(device)
    data = open_data(project.root / "data", name, experiment.code.COLUMNS).complete()
    row, note = _query(image, data, name)
    table, feature = _gallery(experiment, project, data, name, place)
    distance = next(
        metrics.distance_blocks(
            _embed(experiment, project, row, place), feature, experiment.params.distance
        )
    )[0]
    order = np.argsort(distance, kind="stable")[:top]
    near = table.take(pa.array(order)).select(["image_id", "person", "camera"]).to_pylist()
    rows = [
        {"rank": i, **found, "distance": float(distance[j])}
        for i, (found, j) in enumerate(zip(near, order, strict=True), 1)
    ]
    position = {image_id: i for i, image_id in enumerate(data.rows["image_id"].to_pylist())}
    pictures = data.values("image", [position[found["image_id"]] for found in rows])
    return Found(row["image"], row.get("person"), rows, pictures, note)


def _query(image: str, data: Data, dataset: str) -> tuple[dict[str, Any], str]:
    """The image as a row that a paper's `view` takes, and what is to be said about it."""
    path = Path(image)
    if not path.is_file():
        at = np.flatnonzero(np.array(data.rows["image_id"].to_pylist(), dtype=object) == image)
        if len(at):
            return data[int(at[0])], ""
        raise ReidError(f"{image}: neither a file nor an image_id of {dataset}")
    try:
        pixels = images.decode(path.read_bytes())
    except (images.BadImage, OSError) as error:
        raise ReidError(f"{path}: not readable as an image ({error})") from None
    row: dict[str, Any] = {"image_id": path.name, "image": pixels}
    missing = set(data.sources) - {"image", "parts"}
    if missing:
        raise ReidError(
            f"{path}: this network also reads {', '.join(sorted(missing))}; name an image_id of "
            f"{dataset} instead of a file"
        )
    if "parts" not in data.sources:
        return row, ""
    height, width = pixels.shape[:2]
    row["parts"] = strips(np.array([height]), np.array([width]))[0]
    return row, f"{path.name} {STRIPS}"


def _embed(
    experiment: Experiment, project: Project, row: dict[str, Any], place: torch.device
) -> np.ndarray:
    """(1, D) test feature of one row."""
    network, mean, _ = trained_network(experiment, project, place)
    paper, params = experiment.code, experiment.params
    view = paper.view(params, row["image"], row)
    sample = {n: torch.from_numpy(v)[None].to(place) for n, v in view.items()}
    with torch.inference_mode():
        ready = paper.normalize(params, sample, mean)
        return paper.embed(network, params, ready).float().cpu().numpy()


def _gallery(
    experiment: Experiment, project: Project, data: Data, dataset: str, place: torch.device
) -> tuple[pa.Table, np.ndarray]:
    """Labels and (G, D) features of the gallery without junk; published ones where they fit."""
    rule = (data.protocol.get("protocols") or [{}])[0].get("rule", {})
    junk = np.isin(data.labels("person"), rule.get("junk", [-1]))
    gallery = data.choose(data.labels("gallery").astype(bool) & ~junk)
    if not len(gallery):
        raise ReidError(f"{dataset} has no gallery to search")
    ids = gallery.rows["image_id"].to_pylist()
    known = _published(experiment, project, dataset)
    if known is not None:
        at = {image_id: i for i, image_id in enumerate(known["image_id"].to_pylist())}
        if all(image_id in at for image_id in ids):
            feature = known["feature"].combine_chunks()
            matrix = feature.flatten().to_numpy().reshape(len(feature), -1)
            return gallery.rows, matrix[[at[image_id] for image_id in ids]]
    return gallery.rows, features(experiment, project, gallery, place)


def _published(experiment: Experiment, project: Project, dataset: str) -> pa.Table | None:
    """The evaluation's features, if it was made with these parameters after the training."""
    folder = folder_of(experiment, project, dataset)
    trained = project.run(experiment.name) / "train" / "model.safetensors"
    path = folder / "features.parquet"
    try:
        if path.stat().st_mtime < trained.stat().st_mtime:
            return None
        told = json.loads((folder / "metrics.json").read_text("utf-8"))
        return Shard(path).table() if told["params"] == experiment.described() else None
    except (OSError, ValueError, KeyError, ReidError):
        return None


def picture(found: Found) -> np.ndarray:
    """The query, then the gallery images with their captions, as one image."""
    cells, labels = [found.query], ["query"]
    for row, image in zip(found.rows, found.pictures, strict=True):
        match = None if found.person is None else row["person"] == found.person
        cells.append(_framed(image, match))
        labels.append(f"{row['rank']}: p{row['person']} c{row['camera']}")
    height, width = CELL_PX
    return draw.grid(cells, labels, columns=11, height=height, width=width)


# -- two runs compared -----------------------------------------------------------------------


def compare(project: Project, first: str, second: str, queries: int = 3) -> np.ndarray:
    """For the same queries the first gallery images of two evaluated runs, side by side.

    The queries are spread evenly from the best to the worst by average precision, mean over both.
    """
    if queries < 1:
        raise ReidError(f"queries: {queries}, must be at least 1")
    built, pair = _pair(project, first, second)
    mean = {
        query: np.mean([run.ranked[query]["average_precision"] for run in pair])
        for query in sorted(set(pair[0].ranked) & set(pair[1].ranked))
    }
    order = sorted((q for q in mean if not np.isnan(mean[q])), key=lambda q: -mean[q])
    if not order:
        raise ReidError(f"{first} and {second}: no query that both ranked and that has a match")
    count = min(queries, len(order))
    chosen = [order[int((i + 0.5) * len(order) / count)] for i in range(count)]
    return np.concatenate(
        [_titles(first, second), *(_line(built, pair, query) for query in chosen)]
    )


def _pair(project: Project, first: str, second: str) -> tuple[sources.BuiltData, list[sources.Run]]:
    """Two evaluated runs over one data set that is built."""
    known = {
        run.name: (found.built, run)
        for found in sources.runs(project, sources.built_data(project))
        for run in found.evaluated
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


def _line(built: sources.BuiltData, pair: Sequence[sources.Run], query: str) -> np.ndarray:
    """One query: its image, then the first images of each run after an empty place."""
    cells: list[np.ndarray | None] = [_image(built, query)]
    person = built.persons[built.positions[query]] if query in built.positions else "?"
    labels = [f"query p{person}"]
    for run in pair:
        cells.append(np.full((*CELL_PX, 3), draw.WHITE, np.uint8))
        labels.append("")
        found = run.ranked[query]
        listed = [*zip(found["gallery"], found["match"], strict=True)][:TOP]
        for rank, (image_id, match) in enumerate(listed, 1):
            image = _image(built, image_id)
            cells.append(None if image is None else _framed(image, match))
            labels.append(f"{rank} {'right' if match else 'wrong'}")
        for _ in range(TOP - len(listed)):
            cells.append(None)
            labels.append("")
    height, width = CELL_PX
    return draw.grid(cells, labels, columns=len(cells), height=height, width=width)


def _image(built: sources.BuiltData, image_id: str) -> np.ndarray | None:
    """None where the data set was built anew without the image."""
    position = built.positions.get(image_id)
    return None if position is None else built.data.value("image", position)


def _titles(first: str, second: str) -> np.ndarray:
    """The names of the runs above their images."""
    step = CELL_PX[1] + 6
    out = np.full((TITLE_PX, 3 * step + 2 * TOP * step + 6, 3), draw.WHITE, np.uint8)
    for name, column in ((first, 2), (second, 3 + TOP)):
        place = (6 + column * step, TITLE_PX - 5)
        cv2.putText(out, name, place, draw.FONT, 0.45, draw.INK, 1, cv2.LINE_AA)
    return out


def _framed(image: np.ndarray, match: bool | None) -> np.ndarray:
    """Right: a green frame and a tick; wrong: a red double frame and a cross; else as it is."""
    height, width = CELL_PX
    out = draw.fitted(image, height, width)
    if match is None:
        return out
    colour = RIGHT if match else WRONG
    cv2.rectangle(out, (1, 1), (width - 2, height - 2), colour, 3)
    if not match:
        cv2.rectangle(out, (6, 6), (width - 7, height - 7), colour, 1)
    x, y = width - 24, 8
    cv2.rectangle(out, (x, y), (x + 16, y + 16), draw.WHITE, cv2.FILLED)
    strokes = ([(3, 8), (7, 12), (13, 4)],) if match else ([(4, 4), (12, 12)], [(12, 4), (4, 12)])
    for stroke in strokes:
        points = np.array([(x + a, y + b) for a, b in stroke], np.int32)
        cv2.polylines(out, [points], False, colour, 2, cv2.LINE_AA)
    return out


def save(path: Path, image: np.ndarray) -> Path:
    """Write a picture as PNG."""
    if path.suffix != ".png":
        raise ReidError(f"{path}: must end in .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, images.encode_png(image))
    except OSError as error:
        raise ReidError(f"{path}: cannot be written ({error.strerror})") from None
    return path
