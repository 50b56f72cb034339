"""Uses a trained experiment: the features of a data set, and a search of a gallery for one image.

Reads   3-runs/<experiment>/train, the data set's rows; /evaluate (or /evaluate-on-<data set>) where
        its features are still those of the network and the data
Writes  features as Parquet that `reid score` reads
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from reid.arrays import draw, images
from reid.arrays.poses import strips
from reid.data.dataset import Data
from reid.evaluation import distances
from reid.evaluation.evaluate import folder_of
from reid.evaluation.features import embed, feature_table, features, trained_network
from reid.evaluation.protocol import Protocol, protocol_of
from reid.evaluation.run import LABELS
from reid.experiments import Experiment
from reid.export.features import write_whole
from reid.look import pictures
from reid.nn.device import device_of
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shard

ABREAST = 10  # gallery images in a line of a picture

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
    on = device_of(device)
    data, feature = features(experiment, project, experiment.open(project, dataset), on)
    table = feature_table(data.rows.select([*LABELS, "tracklet"]), feature)
    write_whole(path, table, {})
    return path, table


# -- search ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchResult:
    """An image and the gallery images nearest to it."""

    image: str  # its image_id, or the name of its file
    dataset: str
    query: np.ndarray  # (H, W, 3) uint8
    person: int | None  # None: unknown, junk or a distractor, who match nobody
    rows: list[dict[str, Any]]  # rank, image_id, person, camera, distance, match; nearest first
    nearest: list[np.ndarray]  # the rows' images
    note: str = ""


def search(
    experiment: Experiment, project: Project, image: str, *,
    dataset: str | None = None, top: int = 10, device: str = "auto",
) -> SearchResult:  # fmt: skip
    """The `top` gallery images nearest to `image`: an image_id of the data set, or a file.

    All are ranked but junk, the image itself, and what the protocol leaves out for it, such as its
    person in its camera; of a file neither is known. `match` of a row says whether it is of the
    same person, None where nobody is known to match. The distance is the experiment's; the
    Euclidean one is squared. A file has no part boxes; `note` says so.
    """
    if top < 1:
        raise ReidError(f"top: {top}, must be at least 1")
    name = dataset or experiment.params.dataset
    if experiment.paper.clips(experiment.params) is not None:
        raise ReidError(
            f"{experiment.name} compares tracklets, not single images; see ranked.parquet in "
            f"{folder_of(experiment, project)}, or `reid compare`"
        )
    on = device_of(device)
    data = experiment.open(project, name)
    row, note = _query(image, data, name)
    protocol = protocol_of(data.protocol_in_force())
    gallery = _gallery(data, protocol, row, name)
    query = _embed(experiment, project, row, on)
    feature = _gallery_features(experiment, project, gallery, name, on)
    distance = next(distances.distance_blocks(query, feature, experiment.params.distance))[0]
    order = np.argsort(distance, kind="stable")[:top]
    near = gallery.choose(order).rows.select(["image_id", "person", "camera"]).to_pylist()
    person = row.get("person")
    known = None if person in (*protocol.junk, *protocol.distractors) else person
    rows = [
        {
            "rank": rank, **labels, "distance": float(distance[i]),
            "match": None if known is None else labels["person"] == known,
        }
        for rank, (labels, i) in enumerate(zip(near, order, strict=True), 1)
    ]  # fmt: skip
    return SearchResult(
        row["image_id"], name, row["image"], known, rows, gallery.values("image", order), note
    )


def _query(image: str, data: Data, dataset: str) -> tuple[dict[str, Any], str]:
    """The image as a row that a paper's `view` takes, and a note on it, or an empty one."""
    ids = data.rows["image_id"].to_pylist()
    if image in ids:
        return data[ids.index(image)], ""
    try:
        pixels = images.decode(Path(image).read_bytes())
    except OSError as error:
        raise ReidError(
            f"{image}: neither an image_id among the complete rows of {dataset} nor a readable "
            f"file ({error.strerror})"
        ) from None
    except images.BadImage as error:
        raise ReidError(f"{image}: not readable as an image ({error})") from None
    missing = set(data.sources) - {"image", "parts"}
    if missing:
        raise ReidError(
            f"{image}: this network also reads {', '.join(sorted(missing))}; name an image_id of "
            f"{dataset} instead of a file"
        )
    row: dict[str, Any] = {"image_id": Path(image).name, "image": pixels}
    if "parts" not in data.sources:
        return row, ""
    height, width = pixels.shape[:2]
    row["parts"] = strips(np.array([height]), np.array([width]))[0]
    return row, f"{row['image_id']} {STRIPS}"


def _gallery(data: Data, protocol: Protocol, row: dict[str, Any], dataset: str) -> Data:
    """The gallery without junk, the image itself, and what the protocol leaves out for it."""
    person = data.labels("person")
    chosen = data.labels("gallery").astype(bool) & ~np.isin(person, protocol.junk)
    chosen &= np.array(data.rows["image_id"].to_pylist(), dtype=object) != row["image_id"]
    if "camera" in row and protocol.exclude != "none":
        camera = protocol.view(data.labels("camera"))
        left_out = camera == protocol.view(np.array(row["camera"]))
        if protocol.exclude == "same_person_same_camera":
            left_out &= person == row["person"]
        chosen &= ~left_out
    if not chosen.any():
        raise ReidError(f"{dataset}: has no gallery to search")
    return data.choose(chosen)


def _embed(
    experiment: Experiment, project: Project, row: dict[str, Any], device: torch.device
) -> np.ndarray:
    """(1, D) test feature of one row."""
    network, mean, _ = trained_network(experiment, project, device)
    method, params = experiment.method, experiment.params
    view = method.view(params, row["image"], row)
    sample = {n: torch.from_numpy(v)[None].to(device) for n, v in view.items()}
    return embed(method, params, network, sample, mean)


def _gallery_features(
    experiment: Experiment, project: Project, gallery: Data, dataset: str, device: torch.device
) -> np.ndarray:
    """(G, D) test features of the gallery: the evaluation's where these fit, else new ones."""
    published = _published(experiment, project, gallery, dataset)
    if published is not None:
        position = {image_id: i for i, image_id in enumerate(published["image_id"].to_pylist())}
        rows = [position.get(image_id) for image_id in gallery.rows["image_id"].to_pylist()]
        if None not in rows:
            feature = published["feature"].combine_chunks()
            return feature.flatten().to_numpy().reshape(len(feature), -1)[rows]
    return features(experiment, project, gallery, device)[1]


def _published(
    experiment: Experiment, project: Project, data: Data, dataset: str
) -> pa.Table | None:
    """The evaluation's features; None where they are of other parameters, network or data."""
    folder = folder_of(experiment, project, dataset)
    path = folder / "features.parquet"
    inputs = [project.run(experiment.name) / "train" / "model.safetensors"]
    inputs += [Path(str(shards.folder)) / "manifest.json" for shards, _ in data.sources.values()]
    try:
        if path.stat().st_mtime_ns < max(file.stat().st_mtime_ns for file in inputs):
            return None
        metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
        if metrics["params"] != experiment.described():
            return None
        return Shard(path).table(["image_id", "feature"])
    except (OSError, ValueError, KeyError, ReidError):
        return None


def picture(result: SearchResult) -> np.ndarray:
    """A picture: the query, and right of it the gallery images with rank, person and camera."""
    known = result.person is not None
    shots = [
        (
            pictures.framed(image, row["match"]),
            f"{row['rank']} p{row['person']} c{row['camera']}",
        )
        for row, image in zip(result.rows, result.nearest, strict=True)
    ]
    cells: list[np.ndarray] = []
    labels: list[str] = []
    for start in range(0, len(shots), ABREAST):
        line = shots[start : start + ABREAST]
        cells += [pictures.empty() if start else result.query, *(image for image, _ in line)]
        labels += ["" if start else f"query p{result.person}" if known else "query"]
        labels += [label for _, label in line]
    about = f"{result.image} and the nearest images in the gallery of {result.dataset}"
    marks = "p: person, c: camera"
    if known:
        marks += "; a green frame and a tick: the same person, a red double frame and a cross: not"
    height, width = pictures.CELL_PX
    grid = draw.grid(
        cells, labels, columns=1 + ABREAST, height=height, width=width, gap=pictures.EDGE_PX
    )
    edge = pictures.EDGE_PX
    return pictures.titled(grid, *({edge: text} for text in (about, marks, result.note) if text))
