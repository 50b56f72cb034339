"""Two photographs that ultralytics ships, as small data sets; and what the world's networks see.

`python -m tests.photographs OUT.png` draws masks and joints of the people, and boxes of the whole
pictures, by the networks that come with the package.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import reid
from pipeline.commands.build import make_plan
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.datasets.mars import reader as mars
from pipeline.engine import run as engine
from reid.arrays import draw, images
from reid.project.layout import Project

BOXES = {  # people in the pictures, x1, y1, x2, y2
    "bus.jpg": [(48, 395, 248, 905), (221, 405, 346, 862), (668, 390, 810, 880)],
    "zidane.jpg": [(120, 195, 1120, 715), (740, 42, 1150, 715)],
}
MOVED_PX = 3, 2  # what the second frame of a person is cut out further right and below
PARAMS = """\
ingest:
  on:
    people: {reader: mars}
    pictures: {reader: market1501}
"""
WORLD = {  # what the world's networks are run with
    "masks": "dataset: people, weights: world, shortest_side: 128, longest_side: 512",
    "joints": "dataset: people, weights: world, flip_test: false",
    "crops": "dataset: pictures, weights: world, longest_side: 256, nobody: whole_frame",
}
CELL = 224, 120  # pixels of a drawn cell, height and width


def pictures() -> dict[str, np.ndarray]:
    """The photographs, empty where ultralytics is not installed."""
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "assets"
    return {name: images.decode((folder / name).read_bytes()) for name in BOXES}


def build() -> Project:
    """In the current folder: `people`, five persons in two frames each; `pictures`, whole."""
    people, whole, moved = [], [], np.array([*MOVED_PX, *MOVED_PX])
    for name, picture in pictures().items():
        small = images.resize(picture, picture.shape[0] // 3, picture.shape[1] // 3)
        whole.append(Sample(small, len(whole) + 1, 1, "train", frame=1, tracklet=1))
        limit = np.array([picture.shape[1], picture.shape[0]] * 2) - 1
        for box in BOXES[name]:
            person = len(people) // 2 + 1
            role = "query" if person == 1 else "train"
            for frame in (0, 1):
                x1, y1, x2, y2 = np.minimum(np.array(box) + frame * moved, limit).tolist()
                cut = picture[y1:y2, x1:x2]
                people.append(Sample(cut, person, 1, role, frame=1 + frame, tracklet=1))
    list(mars.write(Path("data/0-raw/people"), iter(people)))
    list(market1501.write(Path("data/0-raw/pictures"), iter(whole)))
    Path("params.yaml").write_text(PARAMS)
    project = Project(Path())
    for dataset in ("people", "pictures"):
        engine.run(make_plan("ingest", dataset, project), project, executor="local")
    return project


def run(project: Project, stage: str, parameters: str) -> engine.Finished:
    """A stage over its data set, whatever share of it is rejected."""
    dataset = "pictures" if stage == "crops" else "people"
    text = f"{PARAMS}{stage}: {{on: {{{dataset}: {{{parameters}, max_reject_rate: 1}}}}}}\n"
    Path("params.yaml").write_text(text)
    return engine.run(make_plan(stage, dataset, project), project, executor="local")


def seen() -> np.ndarray:
    """Every second row of `people` with mask and joints, then the pictures with boxes."""
    project = build()
    for stage, parameters in WORLD.items():
        run(project, stage, parameters)
    cells, labels = [], []
    data = reid.open("data", "people", ["image", "mask", "joints"])
    for row in [data[index] for index in range(0, len(data), 2)]:
        image = draw.fitted(row["image"], *CELL)
        mask = row["mask"]
        over = row["image"] if mask is None else draw.mask_over(row["image"], mask)
        limbs = row["image"] if row["joints"] is None else draw.joints(row["image"], row["joints"])
        cells += [image, draw.fitted(over, *CELL), draw.fitted(limbs, *CELL)]
        labels += ["", "mask" if mask is not None else "nobody found", "joints"]
    crops = reid.open("data", "crops/pictures", ["source_image_id", "box"])
    boxes = {row["source_image_id"]: row["box"] for batch in crops.batches(8) for row in batch}
    whole = reid.open("data", "pictures", ["image"])
    for row in [whole[index] for index in range(len(whole))]:
        box = boxes.get(row["image_id"])
        marked = row["image"] if box is None else draw.boxes(row["image"], np.array([box]))
        cells.append(draw.fitted(marked, *CELL))
        labels.append("nobody found" if box is None else "box")
    return draw.grid(cells, labels, columns=9, height=CELL[0], width=CELL[1])


if __name__ == "__main__":
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        out.write_bytes(images.encode_png(seen()))
        os.chdir("/")
