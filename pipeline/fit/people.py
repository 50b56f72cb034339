"""Freshly rendered people, without end, to fit networks to: images with their ground truth.

A sheet is a small world of its own: new people, clothes, cameras and backgrounds, with light, lens,
noise, JPEG quality, cropping and occlusion drawn far wider than in any world of params.yaml. Sheets
are numbered. Each is rendered once and kept as Parquet in `.work/fit/people`; its file's name has a
fingerprint of the code that renders it, so that after an edit of that code it is rendered anew.
Seeds of sheets begin at `SEEDS`, which no world of params.yaml may reach: what is measured on a
world was never fitted to.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.world.crowd import Rendered
from pipeline.world.scenes.scenes import SCENES
from reid.arrays.flow import Flow, decode_known_flow
from reid.arrays.images import decode, decode_mask, encode_png
from reid.code.fingerprint import Code, Start, of
from reid.project.layout import write_atomically
from reid.project.threads import end_with

SEEDS = 1_000_000_000  # of sheets, and what is drawn for them
VIEWS = ("street", "mall", "hall", "topview")
PASSES = 8  # of a sheet: people before its cameras

COLUMNS = pa.schema(
    [
        pa.field("image", pa.binary(), nullable=False),
        pa.field("mask", pa.binary(), nullable=False),
        pa.field("joints", pa.list_(pa.float32(), 54)),
        pa.field("boxes", pa.list_(pa.list_(pa.float32(), 4)), nullable=False),
        pa.field("flow", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Example:
    """One image and what is true of it."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    mask: np.ndarray  # (H, W) bool: the person that the image is about
    joints: np.ndarray | None  # (18, 3): x, y pixels; 1 seen, 0.5 hidden, 0 outside the image
    boxes: np.ndarray  # (N, 4) float32 of all that are seen: known of the top view alone
    flow: Flow | None  # to the example that follows


def draw_scene(view: str, number: int) -> Any:
    """The parameters of a sheet's scene."""
    rng = np.random.default_rng([SEEDS, VIEWS.index(view), number])
    drawn: dict[str, Any] = {
        "seed": SEEDS + len(VIEWS) * number + VIEWS.index(view),
        "train_identities": 4 * PASSES,
        "saturated_share": rng.uniform(0.2, 0.75),
        "heading_jitter_degrees": rng.uniform(5, 60),
        "occluder_probability": rng.uniform(0.1, 0.7),
        "things": int(rng.integers(2, 9)),
        "light_variation": rng.uniform(0.1, 0.35),
        "noise": rng.uniform(0.5, 7),
        "blur": rng.uniform(0.2, 1.3),
        "jpeg_quality": int(rng.integers(40, 97)),
        "images_min": 3,
        "images_max": 5,
    }
    if view != "topview":
        drawn |= {
            "cast_strength": rng.uniform(0.2, 1.5),
            "box_jitter": rng.uniform(0.01, 0.09),
            "truncation_probability": rng.uniform(0, 0.3),
        }
    if view in ("street", "mall"):
        drawn |= {"test_identities": 1, "images_min": 2, "images_max": 3}
    if view in ("street", "hall"):
        drawn |= {"cameras": 2}
    if view == "mall":
        drawn |= {"training_cameras": 2, "test_cameras": 2, "background_bias": 0}
    if view == "hall":
        drawn |= {"images_min": 8, "images_max": 10, "bystanders": 3}
    if view == "topview":
        height = int(rng.choice([120, 150, 180]))
        drawn |= {
            "height": height, "width": height * 4 // 3, "camera_height": rng.uniform(3.3, 4.6),
            "missing": 0,
        }  # fmt: skip
    return SCENES[view]().params.model_validate(drawn)


def render_sheet(view: str, number: int) -> Rendered:
    """The images of a sheet, pass by pass."""
    scene = draw_scene(view, number)
    rendered = SCENES[view]()
    rng = np.random.default_rng([SEEDS, VIEWS.index(view), number, 1])
    passes = rendered.plan(scene)
    chosen = sorted(rng.permutation(len(passes))[:PASSES].tolist())
    return [shot for index in chosen for shot in rendered.render_pass(scene, passes[index])]


def keep_sheet(folder: Path, view: str, number: int) -> Path:
    """A sheet's file below `folder`, rendered if the code as it is has not done so yet."""
    path = folder / f"{view}-{code_of(view).fingerprint[:8]}-{number:05d}.parquet"
    if not path.is_file():
        rows = [_row(sample, truth) for sample, truth in render_sheet(view, number)]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, COLUMNS), sink, compression="NONE")
        write_atomically(path, sink.getvalue().to_pybytes())
    return path


@cache
def code_of(view: str) -> Code:
    """The code that decides what a number's sheet of a view holds."""
    roots = tuple(f"{__name__}:{name}" for name in ("render_sheet", "_row", "COLUMNS"))
    return of(Start(roots, {"pipeline.world.scenes.scenes:SCENES": (view,)}))


def _row(sample: Any, truth: Any) -> dict[str, Any]:
    return {
        "image": sample.encoded or encode_png(sample.image),
        "mask": truth.mask,
        "joints": None if truth.joints is None else truth.joints.reshape(-1).tolist(),
        "boxes": [p["box"] for p in truth.people or () if p["box"] is not None],
        "flow": truth.flow,
    }


def keep_sheets(folder: Path, view: str, numbers: Sequence[int], workers: int) -> list[Path]:
    """The files of many sheets, missing ones rendered by so many processes."""
    if workers <= 1:
        return [keep_sheet(folder, view, number) for number in numbers]
    with ProcessPoolExecutor(workers, get_context("spawn"), end_with, (os.getpid(),)) as pool:
        return list(pool.map(keep_sheet, *zip(*[(folder, view, n) for n in numbers], strict=True)))


def read_sheet(path: Path) -> list[Example]:
    """The examples of a sheet's file."""
    return [_example(row) for row in pq.read_table(path).to_pylist()]


def _example(row: dict[str, Any]) -> Example:
    joints, flow = row["joints"], row["flow"]
    return Example(
        image=decode(row["image"]),
        mask=decode_mask(row["mask"]),
        joints=None if joints is None else np.array(joints, np.float32).reshape(18, 3),
        boxes=np.array(row["boxes"], np.float32).reshape(-1, 4),
        flow=None if flow is None else decode_known_flow(flow),
    )
