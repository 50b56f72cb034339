"""Body joints: 18 points with confidence in OpenPose's order, in pixels of the image.

Reads   1-shards (`image`)
Writes  2-derived/joints: `joints` (18 x (x, y, confidence)), `joints_score` (mean confidence)
Source  a library's pose network (`backend` mmpose, ultralytics or torchvision), or joints that are
        already there (`given`). COCO's 17 joints become OpenPose's 18: the neck is mid-shoulders.

A row is rejected where its image cannot be decoded, the network finds nobody, or there are no given
joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.given import reads_anywhere
from pipeline.backends.joints import BACKENDS
from pipeline.backends.joints import given as joints_given
from pipeline.backends.weights import identity
from pipeline.engine.stage import Resources, Stage, Step
from reid.arrays.images import BadImage, Decoded, decode_all
from reid.arrays.poses import JOINTS, joints_column
from reid.project.params import DerivedParams
from reid.shards.folder import Shards

SCHEMA = pa.schema([pa.field("joints", JOINTS), pa.field("joints_score", pa.float32())])


class Params(DerivedParams):
    backend: Literal["mmpose", "ultralytics", "torchvision", "given"] = "mmpose"
    model: str = ""  # the library's own name of a model or its config; '' = the backend's default
    weights: str = "pretrained"  # or world, random, a path: see pipeline/backends/choices.py
    trusted: bool = False  # whether a weights file may run code when it is loaded (pickle)
    flip_test: bool = True  # mmpose: the mean of image and mirror image; twice the cost
    # Input of ultralytics and torchvision, pixels: images are scaled to fit into it, and detections
    # weaker than `person_score` are nobody. mmpose has its config's input and needs no detection.
    height: Annotated[int, Field(ge=32)] = 256
    width: Annotated[int, Field(ge=32)] = 128
    person_score: Annotated[float, Field(ge=0, le=1)] = 0.1
    batch: Annotated[int, Field(ge=1)] = 32  # images a network call
    path: str = ""  # given: a file or folder of joints; see pipeline/backends/joints/given.py

    @model_validator(mode="after")
    def _path_if_given(self) -> Params:
        if (self.backend == "given") != bool(self.path):
            raise ValueError("`path` goes with backend `given`, and it needs one")
        return self


def batch_rows(params: Params) -> int:
    return 2048 if params.backend == "given" else params.batch


def needs_device(params: Params) -> bool:
    return params.backend != "given"


def weights(params: Params, root: Path) -> str:
    """What decides the joints beside the parameters: a hash of the given labels or the weights."""
    if params.backend == "given":
        return joints_given.load(root / params.path).digest()
    return identity("joints", params, root)


def build(params: Params, resources: Resources[None]) -> Step:
    """The stage's step: a `Given` over tables, or an `Estimate` over what its `prepare` decoded."""
    if params.backend == "given":
        labels = joints_given.load(Path(params.path))
        labels.among_rows(resources.anywhere)
        return Given(labels)
    return Estimate(BACKENDS[params.backend](params, resources.device))


def notes(params: Params, rows: Shards, folder: Path) -> list[str]:
    """The given labels that are passed over, where there are some."""
    del rows, folder
    if params.backend != "given":
        return []
    labels = joints_given.load(Path(params.path))
    return labels.passed_over(labels.joints)


def unmatched(params: Params, image_ids: Iterable[str]) -> list[str]:
    """The given labels that belong to none of the images; empty for other backends."""
    if params.backend != "given":
        return []
    return joints_given.load(Path(params.path)).unmatched(image_ids)


class Given(Step):
    """Looks joints up by image_id."""

    def __init__(self, labels: joints_given.Labels):
        self.labels = labels

    def __call__(self, ready: pa.Table) -> pa.Table:
        results = [self._find(image_id) for image_id in ready["image_id"].to_pylist()]
        return to_table([joints for joints, _ in results], [reason for _, reason in results])

    def _find(self, image_id: str) -> tuple[np.ndarray | None, str | None]:
        try:
            joints = self.labels.find(image_id)
        except BadImage as error:
            return None, f"given joints: {error}"
        return joints, "no joints given" if joints is None else None


class Estimate(Step):
    """Runs a pose network; a batch's images go in together."""

    def __init__(self, network: Callable[[list[np.ndarray]], list[np.ndarray | None]]):
        self.network = network

    def prepare(self, table: pa.Table) -> Decoded:
        return decode_all(table["image"].to_pylist())

    def __call__(self, ready: Decoded) -> pa.Table:
        good = [image for image in ready.images if image is not None]
        results = iter(self.network(good) if good else [])
        joints = [None if image is None else next(results) for image in ready.images]
        nobody = ["no person found" if j is None else None for j in joints]
        return to_table(joints, [r or n for r, n in zip(ready.reasons, nobody, strict=True)])


def to_table(joints: list[np.ndarray | None], reasons: list[str | None]) -> pa.Table:
    """(18, 3) joints, or None where there is a reason, as the stage's columns."""
    array = np.zeros((len(joints), 18, 3), np.float32)
    missing = np.array([j is None for j in joints], bool)
    for index, person in enumerate(joints):
        if person is not None:
            array[index] = person
    score = pa.array(array[..., 2].mean(1), pa.float32(), mask=missing)
    columns = {"joints": joints_column(array, missing), "joints_score": score}
    return pa.table({**columns, "reject": pa.array(reasons, pa.string())})


STAGE = Stage(
    name="joints",
    params=Params,
    reads={"rows": ["image"]},
    schema=SCHEMA,
    build=build,
    weights=weights,
    batch_rows=batch_rows,
    needs_device=needs_device,
    libraries=("torch", "torchvision", "mmpose", "ultralytics"),
    reads_anywhere=reads_anywhere,
    unmatched=unmatched,
    notes=notes,
)
