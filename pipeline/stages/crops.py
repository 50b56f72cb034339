"""The person of each overhead frame, cut out of colour and depth alike, as a data set of its own.

Reads   1-shards (all columns; `depth` where there is some)
Writes  2-derived/crops: rows of the base columns, a frame's own labels, image and depth cut out of
        its by the same whole pixels, so that a reading of the crop is one of the frame; and
        `source_image_id`, the frame; `box`, the person's, x1, y1, x2, y2 pixels of the
        frame, and its `score`; `crop_box`, the pixels that were cut out; `people`, how many were
        detected. Roles and protocols are the frames'.
        With backend depth fit.json and fit.parquet: the floor that was learnt
Source  boxes of a library's detector (`backend` ultralytics), of blobs above the floor (depth), or
        that are already there (given). Lejbolle et al., CVPRW 2018, crop TVPR by a YOLO detector
Differs The paper does not say how boxes are cut, nor whose crop it is where several people are in
        a frame. Here one of them has the frame's label, by `own`, see
        `pipeline.backends.crops.person_box`. TVPR's own tables have the position of each head,
        which could tell, but ingested rows do not carry it. Where a data set draws its splits at
        random the floor is learnt from all its frames, without their labels.

A frame is rejected where it cannot be decoded or nobody is found, and with backend depth where it
has no depth; `nobody: whole_frame` keeps the frame as it is instead, with box and score null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.boxes import crop_box, inside
from pipeline.backends.crops import depth as crops_depth
from pipeline.backends.crops import given as crops_given
from pipeline.backends.crops.person_box import Detected, Frame, PersonBox, Rule, labelled_box
from pipeline.backends.given import reads_anywhere
from pipeline.backends.weights import identity
from pipeline.engine.stage import Fit, NewRows, Resources, Stage, Step
from reid.arrays.images import BadImage, decode, decode_depth, encode_jpeg, encode_png
from reid.project.errors import ReidError
from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE, ROW

SCHEMA = pa.schema(
    [
        pa.field("source_image_id", pa.string(), nullable=False),
        pa.field("box", pa.list_(pa.float32(), 4)),
        pa.field("score", pa.float32()),
        pa.field("crop_box", pa.list_(pa.int32(), 4), nullable=False),
        pa.field("people", pa.int16(), nullable=False),
    ]
)
COLUMNS = pa.schema([*ROW, *SCHEMA])
FLOOR = pa.schema([pa.field("floor", IMAGE), pa.field("floor_size", pa.int32())])
JUNK = {"person": -1, "train": False, "query": False, "gallery": False}


class Params(DerivedParams):
    backend: Literal["ultralytics", "depth", "given"] = "ultralytics"
    own: Rule = "central"  # which of several people has the frame's label; largest, nearest
    others: Literal["left_out", "junk"] = "left_out"  # junk: rows of theirs, person -1, no role
    nobody: Literal["reject", "whole_frame"] = "reject"  # where no person is found
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0  # on each side, in longer sides of the box
    square: bool = False  # widen the shorter side to the longer, as far as the frame allows
    min_side: Annotated[int, Field(ge=1)] = 8  # pixels; smaller boxes are nobody
    quality: Annotated[int, Field(ge=0, le=100)] = 0  # of the images as JPEG; 0 = PNG
    # depth: what counts as a person, in height above the floor, and how the floor is learnt
    top_mm: Annotated[int, Field(ge=1)] = 1200  # head and shoulders are higher
    body_mm: Annotated[int, Field(ge=1)] = 100  # all that is cut out is higher
    floor_frames: Annotated[int, Field(ge=1)] = 300  # at most, drawn among the training frames
    seed: Annotated[int, Field(ge=0)] = 0  # of that draw
    # ultralytics
    model: str = ""  # the library's own name of a model; '' = yolo11n
    weights: str = "pretrained"  # or world, random, a path: see pipeline/backends/choices.py
    trusted: bool = False  # whether a weights file may run code when it is loaded (pickle)
    person_class: str = ""  # by name; '' = person, or a network's first class
    person_score: Annotated[float, Field(ge=0, le=1)] = 0.25  # weaker detections are nobody
    longest_side: Annotated[int, Field(ge=32)] = 640  # pixels that frames are scaled to
    batch: Annotated[int, Field(ge=1)] = 32  # frames a call
    path: str = ""  # given: a file or folder of boxes; see pipeline/backends/crops/given.py

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if (self.backend == "given") != bool(self.path):
            raise ValueError("`path` goes with backend `given`, and it needs one")
        if self.body_mm > self.top_mm:
            raise ValueError("`body_mm` must not be above `top_mm`")
        return self


def batch_rows(params: Params) -> int:
    return params.batch


def needs_device(params: Params) -> bool:
    return params.backend == "ultralytics"


def weights(params: Params, root: Path) -> str:
    """What decides the boxes beside the parameters: a hash of the given ones or of the weights."""
    if params.backend == "given":
        return crops_given.load(root / params.path).digest()
    return identity("crops", params, root)


def notes(params: Params, rows: Shards, folder: Path) -> list[str]:
    """The given labels that are passed over, where there are some."""
    del rows, folder
    if params.backend != "given":
        return []
    labels = crops_given.load(Path(params.path))
    return labels.passed_over([key for key, boxes in labels.boxes.items() if boxes])


def unmatched(params: Params, image_ids: Iterable[str]) -> list[str]:
    """The given boxes that belong to none of the frames; empty for other backends."""
    if params.backend != "given":
        return []
    return crops_given.load(Path(params.path)).unmatched(image_ids)


# ------------------------------------------------------------------------------------- the floor


def fit(tables: Iterator[pa.Table], params: Params) -> dict[str, Any] | Fit:
    """The floor below each size of frame, from `floor_frames` frames at most; {} if not needed."""
    if params.backend != "depth":
        return {}
    frames = crops_depth.draw_frames(tables, params.floor_frames, params.seed)
    learnt = crops_depth.learn_floors(frames)
    if not learnt:
        raise ReidError(
            "crops: no training frame has depth to learn the floor from; take backend ultralytics "
            "or given"
        )
    pictures = [_encoded("floor", encode_png(floor)) for floor, _ in learnt]
    facts = {"floors": [_facts(floor, frames) for floor, frames in learnt]}
    return Fit(facts, pa.Table.from_pylist(pictures, FLOOR))


def _facts(floor: np.ndarray, frames: int) -> dict[str, Any]:
    """What is worth reading of a floor."""
    known = floor[floor > 0]
    return {
        "height": floor.shape[0], "width": floor.shape[1], "frames": frames,
        "median_mm": int(np.median(known)) if len(known) else 0,
        "without_reading": round(1 - len(known) / floor.size, 6),
    }  # fmt: skip


# ------------------------------------------------------------------------------------- the crops


class Decoded(NamedTuple):
    """A batch of rows with their frames, or why a row has none."""

    rows: list[dict[str, Any]]
    frames: list[Frame | str]


class Seen(NamedTuple):
    """The same with the people that were detected in each frame, or why it has none."""

    rows: list[dict[str, Any]]
    frames: list[Frame | str]
    people: list[Detected]


def build(params: Params, resources: Resources[dict[str, Any] | Fit]) -> Crops:
    """The stage's step."""
    return Crops(_finder(params, resources), params)


def _finder(
    params: Params, resources: Resources[dict[str, Any] | Fit]
) -> Callable[[list[Frame]], list[Detected]]:
    if params.backend == "depth":
        fitted = resources.fitted
        if not isinstance(fitted, Fit):
            raise ValueError("crops by depth needs the floor of `fit`")
        floors = [decode_depth(cell["bytes"]) for cell in fitted.table["floor"].to_pylist()]
        return crops_depth.build(params, floors)
    if params.backend == "given":
        labels = crops_given.load(Path(params.path))
        labels.among_rows(resources.anywhere)
        return _given(labels)
    from pipeline.backends.crops import ultralytics as crops_ultralytics

    return crops_ultralytics.build(params, resources.device)


def _given(labels: crops_given.Labels) -> Callable[[list[Frame]], list[Detected]]:
    def find(frame: Frame) -> Detected:
        try:
            people = labels.find(frame.image_id, *frame.image.shape[:2])
        except BadImage as error:
            return f"given box: {error}"
        return "no box given" if people is None else people

    return lambda frames: [find(frame) for frame in frames]


class Crops(Step):
    """Finds the people of frames and cuts them out; a batch's frames are looked at together."""

    def __init__(self, find: Callable[[list[Frame]], list[Detected]], params: Params):
        self.find, self.params = find, params

    def prepare(self, table: pa.Table) -> Decoded:
        rows = table.to_pylist()
        return Decoded(rows, [_frame(row) for row in rows])

    def __call__(self, ready: Decoded) -> Seen:
        good = [frame for frame in ready.frames if not isinstance(frame, str)]
        detected = iter(self.find(good) if good else [])
        people = [frame if isinstance(frame, str) else next(detected) for frame in ready.frames]
        return Seen(*ready, people)

    def finish(self, made: Seen) -> NewRows:
        """Cut out and encode, while the next frames are looked at."""
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
            cut = list(pool.map(self._rows, *made))
        rejects = [
            (row["image_id"], reason)
            for row, reason in zip(made.rows, cut, strict=True)
            if isinstance(reason, str)
        ]
        rows = [row for rows in cut if not isinstance(rows, str) for row in rows]
        return pa.Table.from_pylist(rows, COLUMNS), rejects

    def _rows(
        self, row: dict[str, Any], frame: Frame | str, people: Detected
    ) -> list[dict[str, Any]] | str:
        """The new rows of one frame, or why there are none."""
        if isinstance(frame, str):
            return frame
        if isinstance(people, str):
            return self._nobody(row, frame, people)
        people = [person for person in people if self._large_enough(person, frame)]
        try:
            own = labelled_box(people, row["person"], frame, self.params.own)
        except BadImage as error:
            return str(error)
        if own is None:
            return self._nobody(row, frame, "no person found")
        made = [self._crop(row, frame, people[own], len(people))]
        if self.params.others == "junk":
            others = people[:own] + people[own + 1 :]
            made += [
                {**self._crop(row, frame, other, len(people)), **JUNK,
                 "image_id": f"{row['image_id']}~{n}"}
                for n, other in enumerate(others, 1)
            ]  # fmt: skip
        return made

    def _nobody(self, row: dict[str, Any], frame: Frame, reason: str):
        """The whole frame, if that is what is kept where nobody is found."""
        if self.params.nobody == "reject":
            return reason
        height, width = frame.image.shape[:2]
        further = {"box": None, "score": None, "crop_box": [0, 0, width, height], "people": 0}
        return [{**row, **further, "source_image_id": row["image_id"]}]

    def _large_enough(self, person: PersonBox, frame: Frame) -> bool:
        x1, y1, x2, y2 = inside(person.box, *frame.image.shape[:2])
        return min(x2 - x1, y2 - y1) >= self.params.min_side

    def _crop(
        self, row: dict[str, Any], frame: Frame, person: PersonBox, people: int
    ) -> dict[str, Any]:
        """The row of one person."""
        (height, width), wanted = frame.image.shape[:2], self.params
        pixels = crop_box(person.box, height, width, wanted.margin, square=wanted.square)
        x1, y1, x2, y2 = pixels
        image = frame.image[y1:y2, x1:x2]
        quality = wanted.quality
        cut = _encoded("image", encode_jpeg(image, quality) if quality else encode_png(image))
        if frame.depth_mm is not None:
            cut |= _encoded("depth", encode_png(frame.depth_mm[y1:y2, x1:x2]))
        return {
            **row, **cut, "height": y2 - y1, "width": x2 - x1, "source_image_id": row["image_id"],
            "box": inside(person.box, height, width), "score": person.score,
            "crop_box": pixels, "people": people,
        }  # fmt: skip


def _frame(row: dict[str, Any]) -> Frame | str:
    """A row decoded, or why it cannot be used."""
    try:
        if not row["image"]:
            raise BadImage("no image")
        image = decode(row["image"]["bytes"] or b"")
        depth_mm = decode_depth(row["depth"]["bytes"] or b"") if row["depth"] else None
    except BadImage as error:
        return str(error)
    if depth_mm is not None and depth_mm.shape != image.shape[:2]:
        (h, w), (height, width) = depth_mm.shape, image.shape[:2]
        return f"depth is {w} x {h} pixels, its image {width} x {height}"
    return Frame(row["image_id"], image, depth_mm)


def _encoded(column: str, data: bytes) -> dict[str, Any]:
    return {column: {"bytes": data, "path": None}, f"{column}_size": len(data)}


STAGE = Stage(
    name="crops",
    params=Params,
    reads={"rows": [name for name in ROW.names if name != "image_id"]},
    schema=SCHEMA,
    build=build,
    fit=fit,
    fit_reads={"rows": ["depth"]},
    fit_unlabelled=True,
    weights=weights,
    batch_rows=batch_rows,
    needs_device=needs_device,
    new_rows=True,
    libraries=("torch", "ultralytics"),
    reads_anywhere=reads_anywhere,
    unmatched=unmatched,
    notes=notes,
)
