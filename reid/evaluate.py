"""Evaluates a trained experiment: features once, then metrics, curves and ranked lists.

Reads   3-runs/<experiment>/train, and the data set's query and gallery rows
Writes  3-runs/<experiment>/evaluate: features.parquet (image_id, labels, feature), metrics.json,
        cmc.csv, ranked.parquet (each query's first gallery images and which of them match);
        for another data set than the experiment's own: 3-runs/<experiment>/evaluate-on-<data set>
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from pipeline.core.errors import ReidError
from pipeline.core.project import Project, as_json, replace_folder
from pipeline.core.shards import write_shard
from reid import metrics
from reid.data import Data
from reid.data import open as open_data
from reid.experiments import Experiment
from reid.views import Views

RANKED = 10  # gallery images kept for each query
LABELS = ["image_id", "person", "camera", "train", "query", "gallery"]


def embed_views(
    paper: ModuleType, params: Any, network: nn.Module, views: Views, mean: Tensor, batch: int = 64
) -> np.ndarray:
    """(N, D) float32 test features of prepared samples, in order."""
    was_training = network.training
    network.eval()
    order = np.array_split(np.arange(len(views.data)), max(1, -(-len(views.data) // batch)))
    mixed = views.device.type == "cuda" and params.precision == "auto"
    out = []
    with torch.inference_mode(), torch.autocast(views.device.type, torch.bfloat16, enabled=mixed):
        for _, samples in views.batches(order):
            ready = paper.normalize(params, samples, mean)
            out.append(paper.embed(network, params, ready).float().cpu().numpy())
    network.train(was_training)
    return np.concatenate(out)


def mean_metrics(feature: np.ndarray, data: Data, distance: Any) -> tuple[float, float]:
    """Rank 1 and mean average precision of rows searched among themselves, across cameras."""
    person, camera = data.labels("person"), data.labels("camera")
    labels = (person, camera, feature, person, camera)
    result = metrics.evaluate(feature, *labels, distance=distance)
    return result.rank1, result.map


def trained_network(
    experiment: Experiment, project: Project, device: torch.device
) -> tuple[nn.Module, Tensor, dict[str, Any]]:
    """The published network of an experiment, its channel means and its description."""
    from safetensors.torch import load_file

    folder = project.run(experiment.name) / "train"
    try:
        described = json.loads((folder / "experiment.json").read_text("utf-8"))
    except OSError:
        raise ReidError(f"{folder}: not trained yet; run `reid train {experiment.name}`") from None
    if any(described["params"].get(k) != v for k, v in experiment.trained().items()):
        raise ReidError(
            f"{folder}: was trained with other parameters than params.yaml has now; "
            f"run `reid train {experiment.name}`"
        )
    params = experiment.params.model_copy(update={"weights": ""})  # these are in the network now
    network = experiment.code.build(params, len(described["people"]))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return (
        network.to(device).eval(),
        torch.tensor(described["channel_mean"], device=device),
        described,
    )


def features(
    experiment: Experiment, project: Project, data: Data, device: torch.device
) -> np.ndarray:
    """(N, D) test features of `data` by the published network."""
    network, mean, _ = trained_network(experiment, project, device)

    def view(row: dict[str, Any]) -> dict[str, np.ndarray]:
        return experiment.code.view(experiment.params, row["image"], row)

    views = Views(data, view, device, experiment.params.resident)
    return embed_views(experiment.code, experiment.params, network, views, mean)


def place_of(device: str) -> torch.device:
    """`auto` as CUDA where there is one, else the processor."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(device)
    except RuntimeError:
        raise ReidError(f"device: no `{device}` (there are auto, cpu, cuda)") from None


def folder_of(experiment: Experiment, project: Project, dataset: str | None = None) -> Path:
    """Where an evaluation lies: its own folder for another data set than that of the training."""
    other = dataset and dataset != experiment.params.dataset
    return project.run(experiment.name) / (f"evaluate-on-{dataset}" if other else "evaluate")


def evaluate(
    experiment: Experiment, project: Project, *, device: str = "auto", dataset: str | None = None
) -> dict[str, Any]:
    """Extract features, score them by the data set's default rule, publish. Returns the metrics.

    `dataset` names another data set than the experiment's own (a cross-domain test).
    """
    place = place_of(device)
    params, paper = experiment.params, experiment.code
    name = dataset or params.dataset
    data = open_data(project.root / "data", name, paper.COLUMNS).complete()
    tested = data.choose(data.labels("query").astype(bool) | data.labels("gallery").astype(bool))
    feature = features(experiment, project, tested, place)
    query, gallery = (np.flatnonzero(tested.labels(role)) for role in ("query", "gallery"))
    person, camera = tested.labels("person"), tested.labels("camera")
    protocol = (data.protocol.get("protocols") or [{}])[0]
    rule = protocol.get("rule", {})
    sides = (feature[query], person[query], camera[query])
    others = (feature[gallery], person[gallery], camera[gallery])
    settings = {
        "distance": params.distance,
        "junk": rule.get("junk", [-1]),
        "exclude": rule.get("exclude", "same_person_same_camera"),
    }
    result = metrics.evaluate(*sides, *others, **settings)
    first = metrics.ranked(*sides, *others, min(RANKED, len(gallery)), **settings)
    found = {
        "experiment": experiment.name, "paper": experiment.paper, "dataset": name,
        "protocol": protocol.get("name", "default"), "dimensions": int(feature.shape[1]),
        "params": experiment.described(), **result.as_dict(),
    }  # fmt: skip
    staged = project.work / "publish" / f"evaluate@{experiment.name}@{name}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    _write(staged, tested, feature, found, result)
    ids = np.array(tested.rows["image_id"].to_pylist(), dtype=object)
    _write_ranked(staged, ids, person, query, gallery, first, result)
    target = folder_of(experiment, project, dataset)
    replace_folder(staged, target, staged.with_name(staged.name + ".old"))
    return found


def feature_table(labels: pa.Table, feature: np.ndarray) -> pa.Table:
    """Label columns with (N, D) features beside them as the column `feature`."""
    values = pa.array(feature.astype(np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, feature.shape[1])
    return labels.append_column("feature", column)


def _write(
    folder: Path, data: Data, feature: np.ndarray, found: dict[str, Any], result: metrics.Result
) -> None:
    write_shard(folder / "features.parquet", feature_table(data.rows.select(LABELS), feature), {})
    (folder / "metrics.json").write_bytes(as_json(found))
    with (folder / "cmc.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", "share"])
        writer.writerows((i + 1, f"{share:.6f}") for i, share in enumerate(result.cmc))


def _write_ranked(
    folder: Path, ids: np.ndarray, person: np.ndarray, query: np.ndarray, gallery: np.ndarray,
    first: np.ndarray, result: metrics.Result,
) -> None:  # fmt: skip
    rows = []
    for i, order in enumerate(first):
        chosen = gallery[order[order >= 0]]
        rows.append(
            {
                "query": ids[query[i]],
                "gallery": ids[chosen].tolist(),
                "match": (person[chosen] == person[query[i]]).tolist(),
                "average_precision": float(result.query_average_precision[i]),
                "first_match": int(result.query_first_rank[i]),
            }
        )
    write_shard(folder / "ranked.parquet", pa.Table.from_pylist(rows), {})
