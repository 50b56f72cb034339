"""Writes the features that an evaluation compares, as `reid score` reads them.

Reads   3-runs/<experiment>/train, and the data set's query and gallery rows
Writes  one Parquet file: image_id (of a tracklet or passage its first), person, camera, tracklet,
        `role`, or where roles overlap the columns query and gallery, and `feature`, a fixed-size
        list of float32; the footer names experiment, protocol, distance and parts

`reid features` writes all rows of a data set instead, one by one, training rows included.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reid.data.dataset import Data
from reid.evaluation.features import compared_features, feature_table, tested_rows
from reid.evaluation.protocol import PROTOCOLS, Protocol, protocol_of
from reid.evaluation.trained import training_key
from reid.experiments import Experiment
from reid.nn.device import device_of
from reid.project.errors import ReidError
from reid.project.layout import Project, this_process
from reid.shards.folder import write_shard

LABELS = ["image_id", "person", "camera", "tracklet"]


@dataclass(frozen=True)
class Written:
    """What was written, and how `reid score` gives the evaluation's own figures."""

    path: Path
    rows: int
    dimensions: int
    protocol: str  # of `reid score`; empty where none of its protocols is this one
    note: str


def export_features(
    experiment: Experiment, project: Project, out: Path, *,
    dataset: str | None = None, protocol: str | None = None, device: str = "auto",
) -> Written:  # fmt: skip
    """Write the features that `reid evaluate` compares for this data set and protocol.

    Where samples are clips there is one feature for each tracklet, where the experiment pools one
    for each passage.
    """
    if out.suffix != ".parquet":
        raise ReidError(f"{out}: must end in .parquet")
    data = experiment.open(project, dataset, protocol)
    tested = tested_rows(data)
    if not len(tested):
        raise ReidError(f"{dataset or experiment.params.dataset}: has neither query nor gallery")
    tested, feature = compared_features(experiment, project, tested, device_of(device))
    table = feature_table(_labels(tested), feature)
    parts = experiment.method.feature_parts(experiment.params)
    footer = {
        "reid.experiment": experiment.name,
        "reid.training": training_key(experiment.name, project),
        "reid.dataset": dataset or experiment.params.dataset,
        "reid.protocol": data.protocol_in_force().get("name", "default"),
        "reid.distance": experiment.params.distance,
        "reid.feature_parts": str(parts),
    }
    write_whole(out, table, footer)
    name = matching(protocol_of(data.protocol_in_force()), tested) if parts == 1 else ""
    return Written(out, len(table), feature.shape[1], name, _note(experiment, out, name, parts))


def _labels(tested: Data) -> pa.Table:
    """Labels with `role`, or with both roles as columns where a row has two."""
    query, gallery = tested.labels("query").astype(bool), tested.labels("gallery").astype(bool)
    labels = tested.rows.select(LABELS)
    if (query & gallery).any():
        return labels.append_column("query", pa.array(query)).append_column(
            "gallery", pa.array(gallery)
        )
    return labels.append_column("role", pa.array(np.where(query, "query", "gallery")))


def matching(protocol: Protocol, tested: Data) -> str:
    """The protocol of `reid score` that counts these rows as `protocol` does; empty for none."""
    query = {*tested.role("query").labels("person").tolist()}
    gallery = {*tested.role("gallery").labels("person").tolist()}
    for name, known in PROTOCOLS.items():
        same = (known.exclude, known.single_shot, known.views) == (
            protocol.exclude, protocol.single_shot, protocol.views,
        )  # fmt: skip
        dropped = {*protocol.junk} & gallery == {*known.junk} & gallery
        if same and dropped and not {*known.junk, *known.distractors} & query:
            return name
    return ""


def _note(experiment: Experiment, out: Path, protocol: str, parts: int) -> str:
    if parts > 1:
        return (
            f"its distance is the sum over {parts} parts of a feature; `reid score` takes them as "
            "one, and gives other figures"
        )
    if not protocol:
        return "no protocol of `reid score` is the evaluation's; its figures differ"
    return (
        f"`reid score {out} --protocol {protocol} --distance {experiment.params.distance}` gives "
        "the evaluation's figures"
    )


def write_whole(out: Path, table: pa.Table, footer: dict[str, str]) -> None:
    """Write the whole file or nothing. Raises `ReidError` where it cannot be written."""
    temporary = out.with_name(f".{out.name}.{this_process()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_shard(temporary, table, footer)
        temporary.replace(out)
    except OSError as error:
        raise ReidError(f"{out}: cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):  # where it could not be written, it need not be there
            temporary.unlink()
