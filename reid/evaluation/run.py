"""Computes an evaluation: features once, then metrics, curves and ranked lists.

Writes  features.parquet (image_id, labels, feature), metrics.json, cmc.csv, ranked.parquet (each
        query's first gallery images and which of them match)
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reid.data.dataset import Data
from reid.evaluation import metrics
from reid.evaluation.distances import Comparison
from reid.evaluation.features import compared_features, feature_table, tested_rows
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import protocol_of
from reid.evaluation.single_shot import single_gallery_shot
from reid.evaluation.trained import description_of, training_key
from reid.experiments import Experiment
from reid.nn.device import device_of
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json
from reid.shards.folder import write_shard

RANKED = 10  # gallery images kept for each query
LABELS = ["image_id", "person", "camera", "train", "query", "gallery"]


def run(
    experiment: Experiment, project: Project, folder: Path, *,
    key: str, device: str, dataset: str | None, protocol: str | None,
) -> None:  # fmt: skip
    """Extract features, score them by a protocol of the data set, write what is published of it.

    `key` is written beside the metrics; `dataset` and `protocol` are those of `evaluate`.
    """
    torch_device = device_of(device)
    params = experiment.params
    data = experiment.open(project, dataset, protocol)
    _check_persons(experiment, project, data)
    tested, feature = compared_features(experiment, project, tested_rows(data), torch_device)
    query, gallery = (np.flatnonzero(tested.labels(role)) for role in ("query", "gallery"))
    described = data.protocol_in_force()
    in_force = protocol_of(described)
    person, camera = tested.labels("person"), in_force.view(tested.labels("camera"))
    labels = Labels.of(person[query], camera[query], person[gallery], camera[gallery])
    comparison = Comparison(params.distance, experiment.method.feature_parts(params))
    sides = (feature[query], feature[gallery], labels)
    result = metrics.evaluate(*sides, in_force, comparison)
    first = metrics.ranked(*sides, min(RANKED, len(gallery)), in_force, comparison)
    scores = single_gallery_shot(*sides, in_force, comparison) if in_force.single_shot else result
    written = {
        "key": key,
        "experiment": experiment.name, "paper": experiment.paper.name,
        "dataset": dataset or params.dataset, "dimensions": int(feature.shape[1]),
        "params": experiment.described(), "training": training_key(experiment.name, project),
        "code": experiment.test_code(project).fingerprint,
        **scores.as_dict(),
        "protocol": described.get("name", "default"), "single_gallery_shot": in_force.single_shot,
    }  # fmt: skip
    _write(folder, tested, feature, written)
    _write_ranked(folder, tested, query, gallery, first, result)


def _check_persons(experiment: Experiment, project: Project, data: Data) -> None:
    """`ReidError` where the network was trained on persons that another protocol only tests on.

    Persons that are in both training and test of that protocol, as with passages, are allowed.
    """
    query = {*data.role("query").labels("person").tolist()}
    unseen = query - {*data.role("train").labels("person").tolist()}
    described = description_of(experiment.name, project)
    if described is None or data.rule == experiment.params.protocol:
        return
    trained = {*described["people"]}
    if seen := unseen & trained:
        raise ReidError(
            f"{experiment.name} was trained on {len(seen)} of the {len(query)} persons that "
            f"{data.rule} tests; train an experiment with `protocol: {data.rule}`"
        )


def _write(folder: Path, data: Data, feature: np.ndarray, written: dict[str, Any]) -> None:
    write_shard(folder / "features.parquet", feature_table(data.rows.select(LABELS), feature), {})
    (folder / "metrics.json").write_bytes(as_json(written))
    with (folder / "cmc.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", "share"])
        writer.writerows((i + 1, f"{share:.6f}") for i, share in enumerate(written["cmc"]))


def _write_ranked(
    folder: Path, tested: Data, query: np.ndarray, gallery: np.ndarray,
    first: np.ndarray, result: metrics.Result,
) -> None:  # fmt: skip
    """Write each query's nearest gallery entries `first` (Q, k); `query`, `gallery` are rows."""
    ids = np.array(tested.rows["image_id"].to_pylist(), dtype=object)
    person, rows = tested.labels("person"), []
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
