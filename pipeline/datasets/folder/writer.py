"""Writes samples with their labels.csv, as `folder` reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.datasets.base import Sample
from pipeline.datasets.folder.labels import INTEGERS, ROLES, Unfit, parse
from pipeline.datasets.layouts import names
from reid.arrays.images import BadImage, encode_jpeg, encode_png, kind_of
from reid.project.errors import ReidError

WRITTEN = ("path", *INTEGERS, "role", "depth_path")


def write(root: Path, samples: Iterable[Sample], *, lossless: bool = False) -> Iterator[str]:
    """Write samples and labels.csv into a new or empty folder; yields each image_id, in order.

    A sample is written as its own encoded bytes, else as JPEG of quality 90, or as PNG where
    `lossless`. Depth is 16-bit PNG below depth/. Sequence 0 is written as none. Raises `ReidError`
    for labels that `read` would reject, and where a file cannot be written.
    """
    names.new_folder(root)
    for folder in (*ROLES, "depth"):
        names.new_folder(root / folder)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, WRITTEN, lineterminator="\n")
    table.writeheader()
    for number, sample in enumerate(samples):
        image_id, labelled = _written(root, number, sample, lossless)
        table.writerow(labelled)
        yield image_id
    names.write_file(root / "labels.csv", text.getvalue().encode())  # last: no half data set


def _written(root: Path, number: int, sample: Sample, lossless: bool) -> tuple[str, dict[str, Any]]:
    """Write one sample; its image_id, such as query/0005_c2_000031, and its row of labels."""
    name = f"{sample.person:04d}_c{sample.camera}_{number:06d}"
    ending, data = _encoded(sample, lossless)
    labelled = {
        "path": f"{sample.role}/{name}.{ending}", "person": sample.person, "camera": sample.camera,
        "tracklet": sample.tracklet or None, "frame": sample.frame, "viewpoint": sample.viewpoint,
        "role": sample.role, "depth_path": None,
    }  # fmt: skip
    if sample.depth_mm is not None:
        labelled["depth_path"] = f"depth/{name}.png"
    try:
        image_id = parse(labelled)["image_id"]
    except Unfit as error:
        raise ReidError(f"{root}: sample {number}: {error}") from None
    names.write_file(root / labelled["path"], data)
    if sample.depth_mm is not None:
        names.write_file(root / labelled["depth_path"], encode_png(sample.depth_mm))
    return image_id, labelled


def _encoded(sample: Sample, lossless: bool) -> tuple[str, bytes]:
    if sample.encoded is not None:
        try:
            return {"jpeg": "jpg", "png": "png"}[kind_of(sample.encoded)], sample.encoded
        except BadImage as error:
            raise ReidError(f"encoded bytes of a sample: {error}") from None
    if lossless:
        return "png", encode_png(sample.image)
    return "jpg", encode_jpeg(sample.image)
