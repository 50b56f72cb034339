"""Writes samples as RAP v2; what is read back is said in `rap`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from pipeline.datasets.base import Sample
from pipeline.datasets.layouts import names
from pipeline.datasets.rap import annotation as rap_annotation
from pipeline.datasets.rap.annotation import (
    CAMERAS,
    COLUMNS,
    FOLDERS,
    LISTS,
    MAT,
    NOBODY,
    Annotation,
)
from pipeline.datasets.rap.labels import EXTRA, OCCLUSION, PART_BOXES, PERSON_BOX, VIEWPOINT
from reid.arrays.images import BadImage, encode_png, size_of
from reid.project.errors import ReidError


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    `Sample.extra` gives the columns of `EXTRA`, part boxes in pixels of the image. Fields that
    re-identification does not use are left out. Folders must be new or empty. Raises `ReidError`
    where a label does not fit, and where a file cannot be written.
    """
    for folder in FOLDERS:
        names.new_folder(root / folder)
    names_of: list[str | None] = []
    data, persons = [], []
    lists: dict[str, list[int]] = {role: [] for role in LISTS}
    lines: Counter[str] = Counter()
    for number, sample in enumerate(samples, 1):
        _check(sample)
        encoded = encode_png(sample.image) if sample.encoded is None else sample.encoded
        start = stem(sample)
        lines[start] += 1
        name = f"{start}-line{lines[start]}.png"
        names.write_file(root / FOLDERS[1] / name, encoded)
        names_of.append(name)
        data.append(data_row(sample, number, encoded))
        persons.append(sample.person)
        if sample.person != NOBODY:
            lists[sample.role].append(number)
        if sample.role == "query":
            lists["gallery"].append(number)
        yield f"{FOLDERS[1]}/{name[:-4]}"
    if not names_of:
        raise ReidError(f"{root}: no image to write")
    ready = {role: np.array(images, np.float64) for role, images in lists.items()}
    made = Annotation(names_of, np.array(data), np.array(persons, np.float64), ready)
    rap_annotation.save(root / MAT, made, names.write_file)


def stem(sample: Sample) -> str:
    """A sample's official name up to its line; recordings are a quarter of an hour each."""
    begin = datetime(2014, 2, 15, 9) + timedelta(minutes=15 * sample.tracklet)
    end = begin + timedelta(minutes=15)
    return (f"CAM{sample.camera:02d}-{begin:%Y-%m-%d}-{begin:%Y%m%d%H%M%S}-{end:%Y%m%d%H%M%S}"
            f"-tarid0-frame{sample.frame}")  # fmt: skip


def _check(sample: Sample) -> None:
    names.check_role(sample.role, LISTS)
    if sample.person == NOBODY and sample.role != "gallery":
        raise ReidError(f"person {NOBODY} may be in the gallery, not in {sample.role}")
    limits = {"camera": (1, CAMERAS), "frame": (0, 9_999_999), "tracklet": (0, 9_999)}
    limits["person"] = (NOBODY if sample.person == NOBODY else 1, 2**31 - 1)
    names.check_labels(sample, "RAP", limits)
    unknown = sorted(set(sample.extra) - set(EXTRA.names))
    if unknown:
        raise ReidError(f"RAP has no label {unknown[0]} (it has {', '.join(EXTRA.names)})")


def data_row(sample: Sample, number: int, encoded: bytes) -> np.ndarray:
    """(152,) the labels of a sample to write; its position in the frame is made of its number."""
    row = np.zeros(COLUMNS)
    row[VIEWPOINT] = sample.viewpoint or 0
    for side, column in OCCLUSION.items():
        hidden = sample.extra.get(f"occlusion_{side}")
        row[column] = np.nan if hidden is None else hidden
    try:
        height, width = size_of(encoded)
    except BadImage as error:
        raise ReidError(f"image {number}: {error}") from None
    corner = np.array([40 + number % 500, 30 + number % 300])
    row[PERSON_BOX : PERSON_BOX + 4] = [*corner, width, height]
    for part, start in PART_BOXES.items():
        box = sample.extra.get(f"box_{part}")
        if box is not None:
            low, high = np.array(box[:2], float), np.array(box[2:], float)
            row[start : start + 4] = [*(low + corner), *(high - low)]
    return row
