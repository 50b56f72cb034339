"""Person masks that the user or a rendered world already has, matched to images by name.

Read are, by what the path is:
    .parquet, folder with them  image_id, `mask` (PNG bytes, or the shards' struct of bytes and
                                path) and if there `mask_score`; so a world's truth, and this
                                stage's own output
    folder with *.png           one file an image, named as its image_id, or as its file if unique
    .json with annotations      COCO: polygons or run lengths, of the category called person if
                                there is one, else of all; crowds are left out
    .json list                  COCO results: image_id (a name), segmentation (run lengths), score;
                                category_id 1 is a person, as is an entry without

A picture of two levels, 0 and another, has the person where the other is (0 and 255, 0 and 1, a
palette's colour); of any other picture levels above 127 are the person. Of several people in an
image the crop's own is taken, as of a network's detections (`person_mask`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from pipeline.backends.given import Names, label_key, read_json, read_parquet
from pipeline.backends.masks.coco_masks import decode_segmentation
from pipeline.backends.masks.person_mask import PersonMask, central_mask
from reid.arrays.images import BadImage, decode_gray
from reid.project.errors import ReidError
from reid.shards.read import bytes_of

PERSON = "person"  # the category's name in COCO
PERSON_ID = 1  # and its number


class Label(Protocol):
    """One person's mask, not decoded yet."""

    @property
    def score(self) -> float: ...
    def content(self) -> bytes: ...
    def decode(self) -> np.ndarray: ...


class Picture(NamedTuple):
    """A PNG, or the file that holds it."""

    data: bytes | Path
    score: float = 1.0

    def content(self) -> bytes:
        return self.data.read_bytes() if isinstance(self.data, Path) else self.data

    def decode(self) -> np.ndarray:
        return person_pixels(decode_gray(self.content()))


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

    def __init__(self, people: Iterable[tuple[str, Label]], where: Path):
        found: dict[str, list[Label]] = {}
        for name, person in people:
            found.setdefault(label_key(name), []).append(person)
        if not found:
            raise ReidError(f"{where}: no masks of people in it")
        super().__init__(found, where)
        self.people = {key: found[key] for key in sorted(found)}

    def find(self, image_id: str) -> PersonMask | None:
        """The mask of an image's own person, None where no label is its own.

        Raises `BadImage` where a label cannot be decoded.
        """
        people = self.people.get(self.key_of(image_id), [])
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
        return digest.hexdigest()


def person_pixels(levels: np.ndarray) -> np.ndarray:
    """(H, W) gray levels of a mask's picture to bool, by the rule above."""
    other = levels.max(initial=0)
    if ((levels == 0) | (levels == other)).all():
        return levels > 0
    return levels > 127


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := sorted(path.rglob("*.parquet")):
            return Labels(_from_tables(path, tables), path)
        if files := sorted(f for f in path.rglob("*") if f.suffix.lower() == ".png"):
            return Labels(_from_pictures(path, files), path)
        raise ReidError(f"{path}: neither *.parquet nor *.png files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of masks (masks.path)")
    if path.suffix.lower() == ".parquet":
        return Labels(_from_tables(path, [path]), path)
    if path.suffix.lower() == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(f"{path}: masks are read from .parquet, .json or a folder of .parquet or .png")


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


def _from_json(path: Path) -> Iterator[tuple[str, Label]]:
    found = read_json(path)
    try:
        if isinstance(found, list):
            yield from _from_results(found)
        else:
            yield from _from_annotations(found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReidError(
            f"{path}: neither COCO annotations with images, each with its height and width, nor a "
            f"list of {{image_id, segmentation}} with run lengths ({error!r})"
        ) from None


def _from_results(entries: list[dict[str, Any]]) -> Iterator[tuple[str, Label]]:
    for entry in entries:
        if entry.get("category_id", PERSON_ID) == PERSON_ID:
            runs = entry["segmentation"]
            height, width = runs["size"]
            score = float(entry.get("score", 1.0))
            yield str(entry["image_id"]), Segmentation(runs, int(height), int(width), score)


def _from_annotations(found: dict[str, Any]) -> Iterator[tuple[str, Label]]:
    images = {image["id"]: image for image in found["images"]}
    people = {c["id"] for c in found.get("categories", []) if c.get("name") == PERSON}
    for entry in found["annotations"]:
        if entry.get("iscrowd") or (people and entry["category_id"] not in people):
            continue
        if entry.get("segmentation"):
            image = images[entry["image_id"]]
            size = int(image["height"]), int(image["width"])
            yield str(image["file_name"]), Segmentation(entry["segmentation"], *size)
