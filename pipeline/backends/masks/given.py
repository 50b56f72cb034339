"""Person masks that the user or a rendered world already has, matched to images by name.

Read are, by what the path is:
    .parquet, folder with them  image_id, `mask` (PNG bytes, or the shards' struct of bytes and
                                path) and if there `mask_score`; so a world's ground truth, and this
                                stage's own output
    folder with images          one file an image, named as its image_id, or as its file if unique:
                                PNG, TIFF, BMP or WebP, or a JPEG, whose edges are soft
    .json with annotations      COCO: polygons or run lengths of people, see
                                `pipeline.backends.coco_annotations`
    .json list                  COCO results: image_id (a name), segmentation (run lengths), score

What of a picture is the person, `pictures` says. Of several people in an image the crop's own is
taken, as of a network's detections (`person_mask`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from pipeline.backends import coco_annotations
from pipeline.backends.given import (
    BadLabel,
    Names,
    files_below,
    good_and_bad,
    label_key,
    no_labels,
    read_json,
    read_parquet,
)
from pipeline.backends.masks.coco_masks import decode_segmentation
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from pipeline.backends.masks.pictures import person_mask
from reid.arrays.images import ENDINGS, BadImage
from reid.project.errors import ReidError
from reid.shards.read import bytes_of


class Label(Protocol):
    """One person's mask, not decoded yet."""

    @property
    def score(self) -> float: ...
    def content(self) -> bytes: ...
    def decode(self) -> np.ndarray: ...


class Picture(NamedTuple):
    """A picture's bytes, or the file that holds it."""

    data: bytes | Path
    score: float = 1.0

    def content(self) -> bytes:
        return self.data.read_bytes() if isinstance(self.data, Path) else self.data

    def decode(self) -> np.ndarray:
        return person_mask(self.content())


class Segmentation(NamedTuple):
    """COCO's polygons or run lengths, of an image of height x width."""

    value: Any
    height: int
    width: int
    score: float = 1.0

    def content(self) -> bytes:
        return json.dumps([self.value, self.height, self.width], sort_keys=True).encode()

    def decode(self) -> np.ndarray:
        return decode_segmentation(self.value, self.height, self.width)


class Labels(Names):
    """Masks by image name, decoded when they are asked for."""

    def __init__(self, people: Iterable[tuple[str, Label] | BadLabel], where: Path):
        good, bad = good_and_bad(people)
        by_key: dict[str, list[Label]] = {}
        for name, label in good:
            by_key.setdefault(label_key(name), []).append(label)
        if not by_key:
            raise no_labels(where, "masks of people", bad)
        super().__init__(by_key, where, bad)
        self.people = dict(sorted(by_key.items()))

    def find(self, image_id: str) -> PersonMask | None:
        """The mask of an image's own person, None where no label is its own.

        Raises `BadImage` where one of its labels cannot be used: the person may be that one.
        """
        key = self.key_of(image_id)
        self.check(key)
        people = self.people.get(key, [])
        masks = [person.decode() for person in people]
        if len({mask.shape for mask in masks}) > 1:
            raise BadImage("its people's masks differ in size")
        scores = [person.score for person in people]
        return central_mask(np.stack(masks), scores) if masks else None

    def digest(self) -> str:
        """A hash of the names, scores and masks as they are encoded."""
        digest = hashlib.sha256()
        for key, people in self.people.items():
            digest.update(key.encode() + b"\0")
            for person in people:
                content = person.content()
                digest.update(f"{len(content)} {person.score}\0".encode() + content)
        self.add_bad(digest)
        return digest.hexdigest()


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := files_below(path, ".parquet"):
            return Labels(_from_tables(path, tables), path)
        if files := files_below(path, *ENDINGS):
            return Labels(_from_pictures(path, files), path)
        raise ReidError(f"{path}: neither *.parquet nor images in it ({', '.join(ENDINGS)})")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of masks (masks.path)")
    if path.suffix.lower() == ".parquet":
        return Labels(_from_tables(path, [path]), path)
    if path.suffix.lower() == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(
        f"{path}: masks are read from .parquet, .json or a folder of .parquet or images"
    )


def _from_tables(where: Path, paths: Iterable[Path]) -> Iterator[tuple[str, Label]]:
    seen: set[str] = set()
    for path in paths:
        table = read_parquet(path, "mask", "mask_score")
        if table is None or "mask" not in table.column_names:
            continue
        pictures = bytes_of(table["mask"])
        if not (pa.types.is_binary(pictures.type) or pa.types.is_large_binary(pictures.type)):
            raise ReidError(f"{path}: `mask` must hold PNG bytes, not {table['mask'].type}")
        known = "mask_score" in table.column_names
        scores = table["mask_score"].to_pylist() if known else [1.0] * len(table)
        for name, data, score in zip(
            table["image_id"].to_pylist(), pictures.to_pylist(), scores, strict=True
        ):
            if name in seen:
                raise ReidError(f"{where}: two rows of image_id {name}")
            seen.add(name)
            if data is not None:  # a null row is an image without a mask
                yield name, Picture(data, 1.0 if score is None else float(score))


def _from_pictures(where: Path, paths: Iterable[Path]) -> Iterator[tuple[str, Label]]:
    seen: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(where).as_posix()
        if seen.setdefault(label_key(name), path) != path:
            raise ReidError(f"{path}: {seen[label_key(name)].name} is of the same image")
        yield name, Picture(path)


def _from_json(path: Path) -> list[tuple[str, Label] | BadLabel]:
    return coco_annotations.people(
        path, read_json(path), _annotated, _of_results,
        "neither COCO annotations with images, each with its height and width, nor a list of "
        "{image_id, segmentation} with run lengths",
    )  # fmt: skip


def _of_results(name: str, entry: dict[str, Any]) -> list[tuple[str, Label]]:
    runs = entry["segmentation"]
    height, width = runs["size"]
    score = float(entry.get("score", 1.0))
    return [(name, Segmentation(runs, int(height), int(width), score))]


def _annotated(name: str, image: Any, entry: dict[str, Any]) -> list[tuple[str, Label]]:
    if not entry.get("segmentation"):
        return []
    size = int(image["height"]), int(image["width"])
    return [(name, Segmentation(entry["segmentation"], *size))]
