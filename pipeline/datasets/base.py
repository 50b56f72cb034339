"""What every data set's file gives and takes: a listing of its raw files, and samples to write.

A data set's own file makes one `Reader`, and `pipeline.datasets` lists it.

A protocol, one named way of evaluation, is a dictionary that JSON can hold:

    name, title   short and full name
    published     counts as published, by name
    found         the same counts as they are here
    members       "columns" where train, query and gallery are the rows' own columns;
                  {"train": {"persons": [...]}, "test": {"persons": [...]}} where all images of the
                  test persons are both query and gallery; {"train": {"persons": [...]}, "query":
                  {"persons": [...], "cameras": [...]}, "gallery": {...}} where they differ by
                  camera: a row has a role where each of its labels is in that role's list;
                  {"columns_and": {<role>: {"persons": [...]}}} where the images of these persons
                  have a role beside those that the columns give it
    rule          exclude: which gallery images a query leaves out; views: 2 where cameras 1, 2, 3,
                  4 are views 1, 2, 1, 2, and a query leaves out its view; junk and distractors:
                  persons that have no influence, and that are always a wrong match; query: single,
                  multi, or tracklet where all images of one (person, camera, tracklet) are one
                  query, and with gallery: tracklet one gallery entry
    metrics       cmc, map
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from reid.arrays.images import BadImage
from reid.project.errors import ReidError
from reid.shards.manifest import Kind
from reid.shards.schema import ROW

LISTED = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # POSIX, below the raw root
        pa.field("part", pa.string(), nullable=False),  # train, test, or all (random splits)
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("person", pa.int32(), nullable=False),
        pa.field("train", pa.bool_(), nullable=False),
        pa.field("query", pa.bool_(), nullable=False),
        pa.field("gallery", pa.bool_(), nullable=False),
        pa.field("camera", pa.int16(), nullable=False),
        pa.field("tracklet", pa.int32()),
        pa.field("frame", pa.int32()),
        pa.field("viewpoint", pa.int8()),
        pa.field("depth_path", pa.string()),
    ]
)


class Reject(NamedTuple):
    """A file or row that is left out, and why."""

    image_id: str  # or the path below the raw root, where no image_id could be made
    reason: str


@dataclass(frozen=True)
class Info:
    """What a user needs to know before they have the data set."""

    title: str
    layout: str  # the folders and names expected, one example each
    published: dict[str, int]  # published counts, by the names that `Listing.found` uses
    licence: str
    where: str  # where to ask for it
    citation: str
    note: str = ""  # what else its counts have beside them, such as a paper's own
    kind: Kind = "photographs"  # of its images, where no file says that they were rendered


@dataclass
class Listing:
    """What `read` lists. `files` has the columns of `LISTED` and `extra`, in no order of rows."""

    files: pa.Table
    found: dict[str, int]  # counts by the names of `Info.published`
    rejects: list[Reject] = field(default_factory=list)
    protocols: list[dict[str, Any]] = field(default_factory=list)  # the first is the default
    notes: list[str] = field(default_factory=list)  # for the user, a line each
    # Of labels that are names: their numbers, by persons and cameras.
    names: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])


@dataclass
class Sample:
    """One image to write, as the rendered world or a conversion makes it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    person: int
    camera: int
    role: str  # train, query or gallery
    frame: int = 0  # frame number of its camera's recording
    tracklet: int = 0  # sequence of the camera
    viewpoint: int | None = None
    depth_mm: np.ndarray | None = None  # (H, W) uint16
    encoded: bytes | None = None  # written as it is instead of `image`
    extra: dict[str, Any] = field(default_factory=dict)  # labels of the layout's `extra`, by name


class Split(NamedTuple):
    """Roles to be drawn at random: the share of the persons that train, and the seed."""

    train: float
    seed: int = 0


Source = Callable[[str], bytes]
Writer = Callable[[Path, Iterable[Sample]], Iterable[str]]


def from_files(root: Path) -> Source:
    """Images that are files below the raw root."""
    prefix = f"{root}/"

    def read(path: str) -> bytes:  # os.read: half the cost of a file object, 15 us an image
        try:
            file = os.open(prefix + path, os.O_RDONLY)
            try:
                return os.read(file, os.fstat(file).st_size)
            finally:
                os.close(file)
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None

    return read


@dataclass(frozen=True)
class Reader:
    """A data set's official layout: how it is read, and written."""

    info: Info
    read: Callable[[Path], Listing]  # finds, names and counts the raw files; decodes nothing
    write: Writer  # the same layout from samples; yields their image_ids
    open_source: Callable[[Path], Source] = from_files  # where images lie inside a container file
    locate: Callable[[Path], Path] = Path  # the layout's own folder, at or below a root
    split: Callable[[Path, Split], Listing] | None = None  # reads labels that give no roles
    # Nullable columns that only this data set has, and no images: its listing's files and then
    # its shards have them behind all others.
    extra: pa.Schema = field(default_factory=lambda: pa.schema([]))

    def columns(self) -> pa.Schema:
        """The columns of its shards: a row's, and those that it alone has."""
        return pa.schema([*ROW, *self.extra])


# The rule by which each query tracklet is searched among all gallery tracklets.
ALL_TRACKLETS = {"exclude": "none", "junk": [], "distractors": [], "query": "tracklet",
                 "gallery": "tracklet"}  # fmt: skip


def single_query(
    name: str,
    title: str,
    published: Mapping[str, int],
    counts: Mapping[str, int],
    junk: Sequence[int] = (),
    distractors: Sequence[int] = (),
) -> dict[str, Any]:
    """The usual protocol of still images: each query by itself, members as the rows' columns."""
    rule = {
        "exclude": "same_person_same_camera", "junk": list(junk), "distractors": list(distractors),
        "query": "single",
    }  # fmt: skip
    return {
        "name": name, "title": title, "published": published, "found": counts,
        "members": "columns", "rule": rule, "metrics": ["cmc", "map"],
    }  # fmt: skip


def counts_table(
    published: Mapping[str, int], counts: Mapping[str, int]
) -> list[tuple[str, int | None, int | None, bool]]:
    """Rows of (name, published, found, differs); what is not published cannot differ."""
    names = [*published, *(name for name in counts if name not in published)]
    return [
        (n, published.get(n), counts.get(n), n in published and published[n] != counts.get(n))
        for n in names
    ]


def check_target(folder: Path) -> None:
    """Raises `ReidError` where `folder` is a link whose target is gone."""
    if folder.is_symlink() and not folder.exists():
        raise ReidError(
            f"{folder}: links to {folder.readlink()}, which is gone; bring it back, or remove the "
            "link and `reid add` the data set where it lies now"
        )
