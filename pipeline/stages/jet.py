"""Depth as a colour image, near blue and far red, as networks that know colours take it.

Reads   1-shards, or a data set that a stage made (`depth`: 16-bit PNG, millimetres)
Writes  2-derived/jet: `jet`, an image of the depth's size. The depth itself stays where it is.
        fit.json: the range near_mm to far_mm, and of how many readings it comes; farthest_share
        where the farthest of all stands alone, as a sensor's `no reading` does
Source  Lejbolle et al., Attention in multimodal neural networks, CVPRW 2018: OpenCV's JET, near
        blue and far red (`reid.arrays.depth`)
Differs The paper does not say which depths the colours span, nor what is shown where depth lacks a
        reading. Here one range holds for a data set, from percentiles of its training readings or
        given, never of a single image; and what is missing is shown as far. Where a data set draws
        its splits at random the range is of all its images, without their labels.

0 and 65535 are no readings. A row is rejected where it has no depth, or depth without any reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.engine.stage import Resources, Stage, TableStep
from reid.arrays.depth import LEVELS, Substitute, colorize, histogram, percentile
from reid.arrays.images import BadImage, decode_depth, encode_jpeg, encode_png
from reid.project.errors import ReidError
from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE

ALONE = 0.75  # the farthest reading is alone where the next is nearer than this much of it
DECODED = 128  # depth maps in memory
SCHEMA = pa.schema([pa.field("jet", IMAGE), pa.field("jet_size", pa.int32())])

Reading = Annotated[int, Field(ge=1, lt=LEVELS)]  # millimetres
Level = Annotated[int, Field(ge=0, le=255)]


class Params(DerivedParams):
    near_mm: Reading | None = None  # nearer depths are dark blue; none = `near_percentile`
    far_mm: Reading | None = None  # farther depths are dark red; none = `far_percentile`
    near_percentile: Annotated[float, Field(ge=0, le=100)] = 0.1  # of all training readings
    far_percentile: Annotated[float, Field(ge=0, le=100)] = 99.9
    missing: Substitute | tuple[Level, Level, Level] = (
        "far"  # far, near, nearest (pixel), or R, G, B
    )
    quality: Annotated[int, Field(ge=0, le=100)] = 0  # of the images as JPEG; 0 = PNG

    @model_validator(mode="after")
    def _near_is_nearer(self) -> Params:
        if self.near_percentile >= self.far_percentile:
            raise ValueError("`near_percentile` must be below `far_percentile`")
        if self.near_mm and self.far_mm and self.near_mm >= self.far_mm:
            raise ValueError("`near_mm` must be below `far_mm`")
        return self


def batch_rows(params: Params) -> int:
    return DECODED


def fit(tables: Iterator[pa.Table], params: Params) -> dict[str, Any]:
    """The range of depths that the colours span, `near_mm` to `far_mm`."""
    counts = np.zeros(LEVELS, np.int64)
    if params.near_mm is None or params.far_mm is None:
        for table in tables:
            for depth_mm in _decoded(_encoded(table)):
                counts += histogram(depth_mm)
        if not counts.any():
            raise ReidError("jet: no training row has depth; set near_mm and far_mm, or read it")
    near = params.near_mm or percentile(counts, params.near_percentile)
    far = params.far_mm or percentile(counts, params.far_percentile)
    if near >= far:
        raise ReidError(f"jet: depths from {near} to {far} mm are no range; set near_mm and far_mm")
    fitted = {"near_mm": near, "far_mm": far, "readings": int(counts.sum())}
    alone = _share_alone(counts)
    return {**fitted, "farthest_share": alone} if alone and params.far_mm is None else fitted


def _share_alone(counts: np.ndarray) -> float:
    """The share of all readings that the farthest has, where it is far from the next; else 0."""
    levels = np.flatnonzero(counts)
    if len(levels) < 2 or levels[-2] > ALONE * levels[-1]:
        return 0.0
    return round(float(counts[levels[-1]] / counts.sum()), 6)


def notes(params: Params, rows: Shards, folder: Path) -> list[str]:
    """The range of depths, and a warning where its end looks like a sensor's `no reading`."""
    del params, rows
    fitted = json.loads((folder / "fit.json").read_text("utf-8"))
    lines = [f"colours span {fitted['near_mm']:,} to {fitted['far_mm']:,} mm"]
    if "farthest_share" in fitted:
        lines.append(
            f"the farthest reading stands alone, with {fitted['farthest_share']:.3%} of all: if it "
            "is the sensor's `no reading`, write 0 for it, or set far_mm"
        )
    return lines


def build(params: Params, resources: Resources[dict[str, Any]]) -> TableStep:
    """The stage's step, with the result of `fit`."""
    fitted = resources.fitted
    if fitted is None:
        raise ValueError("jet needs the range of `fit`")
    near, far = fitted["near_mm"], fitted["far_mm"]

    def row(data: bytes | None) -> dict[str, Any]:
        try:
            image = colorize(_depth(data), near, far, params.missing)
        except BadImage as error:
            return {"reject": str(error)}
        encoded = encode_jpeg(image, params.quality) if params.quality else encode_png(image)
        return {"jet": {"bytes": encoded, "path": None}, "jet_size": len(encoded)}

    def step(table: pa.Table) -> pa.Table:
        with _threads() as pool:  # decoding, colouring and encoding leave the interpreter's lock
            rows = list(pool.map(row, _encoded(table)))
        return pa.Table.from_pylist(rows, SCHEMA.append(pa.field("reject", pa.string())))

    return TableStep(step)


def _depth(data: bytes | None) -> np.ndarray:
    if data is None:
        raise BadImage("no depth")
    depth_mm = decode_depth(data)
    if not depth_mm.any():
        raise BadImage("depth has no reading at all")
    return depth_mm


def _decoded(encoded: list[bytes | None]) -> Iterator[np.ndarray]:
    """Depth of the rows that have some; the step says why others have none."""

    def depth(data: bytes | None) -> np.ndarray | None:
        try:
            return _depth(data)
        except BadImage:
            return None

    with _threads() as pool:
        for first in range(0, len(encoded), DECODED):
            found = pool.map(depth, encoded[first : first + DECODED])
            yield from (depth_mm for depth_mm in found if depth_mm is not None)


def _encoded(table: pa.Table) -> list[bytes | None]:
    return [cell["bytes"] if cell else None for cell in table["depth"].to_pylist()]


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, cv2.getNumThreads()))


STAGE = Stage(
    name="jet",
    params=Params,
    reads={"rows": ["depth"]},
    schema=SCHEMA,
    build=build,
    fit=fit,
    fit_unlabelled=True,
    batch_rows=batch_rows,
    notes=notes,
)
