"""Tiny valid raw folders, one for each reader, written by the reader itself; and their project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import datasets
from pipeline.datasets.base import Sample
from reid.arrays import images
from reid.project.params import load

NAME = "toy"
OUTSIDE = "outside"  # a folder beside the project that nothing may touch
PARAMS = """\
run: {{executor: local, workers: 1}}
ingest:
  with: {{shard_rows: 6, max_reject_rate: 1.0}}
  on: {{toy: {{reader: {reader}}}}}
"""

# (person, camera, tracklet, frames, role) of each reader's tree; still images have one frame.
STILL = (
    (1, 1, 1, (1, 2), "train"), (1, 2, 1, (3, 4), "train"), (3, 1, 1, (5,), "train"),
    (3, 2, 1, (6,), "train"), (2, 1, 1, (7,), "query"), (2, 2, 1, (8, 9), "gallery"),
    (4, 2, 1, (10,), "query"), (4, 1, 1, (11, 12), "gallery"),
)  # fmt: skip
VIDEO = (
    (1, 1, 1, (1, 2, 3), "train"), (1, 2, 2, (1, 2), "train"), (3, 1, 3, (1, 2), "train"),
    (2, 1, 1, (1, 2), "query"), (2, 2, 2, (1, 2, 3), "gallery"), (4, 1, 3, (1, 2), "query"),
    (4, 2, 4, (1, 2), "gallery"),
)  # fmt: skip
PAIRS = tuple((p, c, 1, (9, 10, 11), "train") for p in (1, 2, 3, 4) for c in (1, 2))
WALKS = (
    (1, 1, 9, (2, 10, 11), "train"), (2, 1, 9, (40, 41), "train"), (1, 2, 9, (90, 91), "query"),
    (2, 2, 12, (7, 8), "query"),
)  # fmt: skip
HALLWAY = (
    (1, 1, 0, (3, 4), "train"), (1, 1, 12, (3, 4), "train"), (3, 1, 5, (1, 2), "train"),
    (1, 1, 7, (3, 9), "query"), (3, 1, 5, (1, 2), "query"),
)  # fmt: skip
ROWS = {
    "mars": VIDEO, "dukemtmc_video": VIDEO, "ilids_vid": PAIRS, "prid2011": PAIRS, "opr": PAIRS,
    "tvpr": WALKS, "dpit": HALLWAY,
}  # fmt: skip
WITH_DEPTH = ("tvpr", "dpit", "opr", "folder")


class Tree(NamedTuple):
    """A project with one raw folder, and the images that its rows must have."""

    project: Path
    images: dict[str, bytes]  # by image_id, as ingested untouched


def samples(reader: str) -> Iterator[Sample]:
    """What `reader` writes: every image differs from all others."""
    random = np.random.default_rng(7)
    for person, camera, tracklet, frames, role in ROWS.get(reader, STILL):
        for frame in frames:
            image = random.integers(0, 256, (16, 8, 3), dtype=np.uint8)
            depth = random.integers(900, 3000, (16, 8)).astype(np.uint16)
            yield Sample(image, person, camera, role, frame=frame, tracklet=tracklet,
                         depth_mm=depth if reader in WITH_DEPTH else None)  # fmt: skip


def make(base: Path, reader: str) -> Path:
    """A project below `base` with the raw folder of `reader`, and a folder outside; its root."""
    project = base / "project"
    list(datasets.reader(reader).write(project / "data/0-raw" / NAME, samples(reader)))
    (project / "params.yaml").write_text(PARAMS.format(reader=reader))
    assert load(project)["ingest"]["on"][NAME]["reader"] == reader
    make_outside(base / OUTSIDE)
    return project


def make_outside(folder: Path) -> None:
    """Files that must never be read into rows, written or removed."""
    folder.mkdir()
    (folder / "secret.png").write_bytes(secret())
    (folder / "notes.txt").write_text("nobody may change this\n")
    (folder / "empty").mkdir()


def secret() -> bytes:
    """An image that may be in no shard."""
    return images.encode_png(np.full((16, 8, 3), (1, 254, 127), np.uint8))
