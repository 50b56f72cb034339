"""Optical flow: from each frame to the next of its tracklet, in pixels of the frame.

Reads   1-shards (`image`, `height`, `width`, `person`, `camera`, `tracklet`, `frame`); rows of
        equal person, camera and tracklet are a tracklet, and lie in the order of its frames
Writes  2-derived/flow: `flow`, a 16-bit PNG of the image's size (`reid.arrays.flow`)
Source  a library's network (`backend` ptlflow), OpenCV's DIS (dis) or Lucas and Kanade's method
        (lucas_kanade), or flow that is already there (given)
Differs Flow leads from a frame to the next; a paper whose flow leads from the frame before has each
        flow one frame later. n frames have n - 1 flows. So that each frame has one, a tracklet's
        last frame repeats the one before, and a tracklet of one frame has flow zero. Where a call
        of the step begins with a tracklet's last frame, that flow is computed a second time, with
        other pairs beside it: a network's last bit may then make a step of 1/64 pixel between a
        flow and its repetition.

A next frame of another size is resized to the frame's. A frame that cannot be decoded, or is too
small, is rejected, and the frame before it is treated as its tracklet's last. With `given` a row is
rejected that has no flow, or one of another size; that of a tracklet's last frame may be missing.
Still images, which have no tracklet, are an error, as are tracklets without frame numbers. Where
numbers are left out, flow is over the gap, and such steps are counted when the build is finished;
with `widest_gap` a wider one is the end of one tracklet and the start of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.flow import BACKENDS
from pipeline.backends.flow import given as flow_given
from pipeline.backends.given import IDS
from pipeline.backends.weights import identity
from pipeline.engine.stage import Resources, Stage, Step
from reid.arrays.flow import Flow, encode_flow, resize_known_flow
from reid.arrays.images import BadImage, decode_all, resize
from reid.project.errors import ReidError
from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE

SCHEMA = pa.schema([pa.field("flow", IMAGE), pa.field("flow_size", pa.int32())])
ROWS = 64  # of a call, or as many more as are a whole number of network calls
LEAST_SIDE = 12  # pixels: OpenCV's DIS needs as many

Pair = tuple[np.ndarray, np.ndarray]  # frames of one size, (H, W, 3) uint8 RGB
NOWHERE = -1  # the number of a row that has no flow to show


class Params(DerivedParams):
    backend: Literal["ptlflow", "dis", "lucas_kanade", "given"] = "ptlflow"
    # ptlflow: its name of a model, '' = liteflownet; dis: ultrafast, fast or medium, '' = medium
    model: str = ""
    # ptlflow: its name of weights (things, sintel, kitti), pretrained, which is things, or world,
    # random, a path: see pipeline/backends/choices.py
    weights: str = "things"
    trusted: bool = False  # whether a weights file may run code when it is loaded (pickle)
    batch: Annotated[int, Field(ge=1)] = 8  # pairs of frames a network call
    # Frames are enlarged so many times, and their flow shrunk; some networks need 64 pixels or more
    scale: Annotated[int, Field(ge=1)] = 1
    # Frame numbers from a frame to the next: beyond it a frame is its tracklet's last; none = any
    widest_gap: Annotated[int, Field(ge=1)] | None = None
    window: Annotated[int, Field(ge=3)] = 15  # lucas_kanade: side of a pixel's window, pixels
    levels: Annotated[int, Field(ge=0)] = 3  # lucas_kanade: times that frames are halved
    path: str = ""  # given: a file or folder of flow; see pipeline/backends/flow/given.py

    @model_validator(mode="after")
    def _path_if_given(self) -> Params:
        if (self.backend == "given") != bool(self.path):
            raise ValueError("`path` goes with backend `given`, and it needs one")
        return self


def batch_rows(params: Params) -> int:
    return -(-ROWS // params.batch) * params.batch


def reads_anywhere(params: Params) -> dict[str, list[str]]:
    """Which label is whose depends on all images."""
    return IDS if params.backend == "given" else {}


def needs_device(params: Params) -> bool:
    return params.backend == "ptlflow"


def weights(params: Params, root: Path) -> str:
    """What decides the flow beside the parameters: a hash of the given flow or the weights."""
    if params.backend == "given":
        return flow_given.load(root / params.path).digest()
    return identity("flow", params, root)


def build(params: Params, resources: Resources[None]) -> Step:
    """The stage's step: a `Given` over tables, or an `Estimate` over what its `prepare` decoded."""
    if params.backend == "given":
        labels = flow_given.load(Path(params.path))
        labels.among_rows(resources.anywhere)
        return Given(labels, params.widest_gap)
    estimator = BACKENDS[params.backend](params, resources.device)
    return Estimate(
        estimator, params.scale, behind=needs_device(params), widest_gap=params.widest_gap
    )


def unmatched(params: Params, image_ids: Iterable[str]) -> list[str]:
    """The given flow that belongs to none of the images; empty for other backends."""
    if params.backend != "given":
        return []
    return flow_given.load(Path(params.path)).unmatched(image_ids)


# --- which flow a row shows ----------------------------------------------------------------------


def follows(table: pa.Table) -> np.ndarray:
    """(n,) bool: whether the row after each is of its tracklet; false for the table's last."""
    if table["tracklet"].null_count:
        still = table.filter(table["tracklet"].is_null())["image_id"][0]
        raise ReidError(
            f"flow: {still} has no tracklet; flow is from frame to frame of a video, and this data "
            "set has still images (`reid datasets` says which has tracklets)"
        )
    keys = np.stack([table[n].to_numpy() for n in ("person", "camera", "tracklet")])  # (3, n)
    return np.append((keys[:, 1:] == keys[:, :-1]).all(0), False)


def steps(table: pa.Table) -> np.ndarray:
    """(n,) by how much the next frame's number is larger, 0 where the next is of another tracklet.

    Raises `ReidError` where a tracklet of several frames has one without a number.
    """
    joined = follows(table)
    bare = table["frame"].is_null().to_numpy()
    unordered = np.flatnonzero(joined[:-1] & (bare[:-1] | bare[1:]))
    if len(unordered):
        raise ReidError(
            f"flow: {table['image_id'][int(unordered[0])]} is of a tracklet without frame numbers, "
            "which has no order; run `reid ingest` again, or number its frames"
        )
    frame = table["frame"].fill_null(0).to_numpy().astype(np.int64)
    return np.where(joined, np.append(np.diff(frame), 0), 0)


def goes_on(table: pa.Table, widest_gap: int | None) -> np.ndarray:
    """(n,) bool: `follows`, but where frame numbers are more than `widest_gap` apart."""
    step = steps(table)
    return follows(table) & (step <= (step.max(initial=0) if widest_gap is None else widest_gap))


def notes(params: Params, rows: Shards, folder: Path) -> list[str]:
    """How many steps within tracklets leave frame numbers out, where some do."""
    del folder
    table = rows.scalars(["image_id", "person", "camera", "tracklet", "frame"])
    step = steps(table)[follows(table)]
    wide = int((step > 1).sum())
    if not wide:
        return []
    line = f"{wide:,} of {len(step):,} steps in tracklets leave out frames, at most {step.max():,}"
    if params.widest_gap is None:
        return [f"{line} numbers apart; see widest_gap"]
    over = int((step > params.widest_gap).sum())
    return [f"{line} numbers apart; no flow over the {over:,} wider than {params.widest_gap}"]


def own_rows(table: pa.Table) -> list[int]:
    """The numbers of a call's own rows in its table."""
    return np.flatnonzero(table["own"].to_numpy()).tolist()


def shown(joined: np.ndarray) -> np.ndarray:
    """(n,) the row whose flow to the next each row shows, itself or the one before, or NOWHERE.

    `joined` (n,) bool says from which row to the next there is flow.
    """
    rows = np.arange(len(joined))
    after_one = np.append(False, joined[:-1])
    return np.where(joined, rows, np.where(after_one, rows - 1, NOWHERE))


class Ready(NamedTuple):
    """A call's frames, decoded, as far as flow needs them."""

    sizes: list[tuple[int, int] | None]  # (height, width) of each frame, None where there is none
    reasons: list[str | None]  # why there is none
    shown: np.ndarray  # (n,) of `shown`
    own: list[int]  # the numbers of the call's own rows
    first: list[int]  # the numbers of the frames that ...
    pairs: list[Pair]  # ... these pairs begin with


class Found(NamedTuple):
    """A call's frames with the flow that was found between them."""

    ready: Ready
    flows: list[Flow]  # of each of its pairs


class Estimate(Step):
    """Computes the flow of pairs of frames; those of a call go in together.

    Of a network it is encoded `behind` the next call; a search by OpenCV has all cores busy itself.
    """

    def __init__(
        self, estimator: Callable[[list[Pair]], list[Flow]], scale: int, *, behind: bool,
        widest_gap: int | None = None,
    ):  # fmt: skip
        self.estimator, self.scale, self.behind = estimator, scale, behind
        self.widest_gap = widest_gap

    def prepare(self, table: pa.Table) -> Ready:
        joined = goes_on(table, self.widest_gap)
        images, reasons = decode_all(table["image"].to_pylist())
        for index, image in enumerate(images):
            if image is not None and min(image.shape[:2]) < LEAST_SIDE:
                images[index] = None
                reasons[index] = f"{image.shape[1]} x {image.shape[0]} pixels: too small"
        there = np.array([image is not None for image in images])
        joined[:-1] &= there[:-1] & there[1:]
        rows, own = shown(joined), own_rows(table)
        first = sorted({int(rows[number]) for number in own} - {NOWHERE})
        pairs = [self._pair(images[number], images[number + 1]) for number in first]
        sizes = [None if image is None else (image.shape[0], image.shape[1]) for image in images]
        return Ready(sizes, reasons, rows, own, first, pairs)

    def _pair(self, frame: Any, following: Any) -> Pair:
        height, width = (self.scale * n for n in frame.shape[:2])
        enlarged = (resize(image, height, width) for image in (frame, following))
        first, second = (np.ascontiguousarray(image) for image in enlarged)
        return first, second

    def __call__(self, ready: Ready) -> Found | pa.Table:
        found = Found(ready, self.estimator(ready.pairs) if ready.pairs else [])
        return found if self.behind else self._encoded(found)

    def finish(self, made: Found | pa.Table) -> pa.Table:
        return self._encoded(made) if isinstance(made, Found) else made

    def _encoded(self, found: Found) -> pa.Table:
        """What is repeated is encoded once."""
        ready, sizes = found.ready, found.ready.sizes
        by_row = dict(zip(ready.first, found.flows, strict=True))
        shows = {row: (int(ready.shown[row]), size) for row in ready.own if (size := sizes[row])}
        different = sorted(set(shows.values()))
        made = in_threads(lambda one: _cells(by_row.get(one[0]), *one[1]), different)
        cells = dict(zip(different, made, strict=True))
        return to_table(
            [
                cells[shows[row]] if row in shows else {"reject": ready.reasons[row]}
                for row in ready.own
            ]
        )


class Given(Step):
    """Looks flow up by image_id."""

    def __init__(self, labels: flow_given.Labels, widest_gap: int | None = None):
        self.labels, self.widest_gap = labels, widest_gap

    def __call__(self, ready: pa.Table) -> pa.Table:
        joined = goes_on(ready, self.widest_gap)
        rows = ready.select(["image_id", "height", "width"]).to_pylist()
        found = in_threads(lambda row: self._find(**row), rows)
        after_one = np.append(False, joined[:-1])

        def row(number: int) -> dict[str, Any]:
            flow = found[number]
            if flow is None and not joined[number]:  # its tracklet's last
                if not after_one[number]:
                    return _cells(None, rows[number]["height"], rows[number]["width"])
                flow = found[number - 1]
            if not isinstance(flow, Flow):
                return {"reject": flow or "no flow given"}
            return _cells(flow, rows[number]["height"], rows[number]["width"])

        return to_table(in_threads(row, own_rows(ready)))

    def _find(self, image_id: str, height: int, width: int) -> Flow | str | None:
        """A row's flow, None where none is given, or what is wrong with it."""
        try:
            flow = self.labels.find(image_id)
        except BadImage as error:
            return f"given flow: {error}"
        if flow is not None and flow.valid.shape != (height, width):
            have = flow.valid.shape
            size = f"{have[1]} x {have[0]} pixels, of the image {width} x {height}"
            return f"given flow: {size}"
        return flow


def _cells(flow: Flow | None, height: int, width: int) -> dict[str, Any]:
    """The columns of a row of (height, width); None is no motion."""
    if flow is None:
        flow = Flow(np.zeros((height, width, 2), np.float32), np.ones((height, width), bool))
    if flow.valid.shape != (height, width):  # of enlarged frames, or repeated in another size
        flow = resize_known_flow(flow, height, width)
    data = encode_flow(*flow)
    return {"flow": {"bytes": data, "path": None}, "flow_size": len(data)}


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Cells, or why there are none, as the stage's columns."""
    return pa.Table.from_pylist(rows, SCHEMA.append(pa.field("reject", pa.string())))


def in_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """What `function` makes of each item; PNGs are read and written beside each other."""
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        return list(pool.map(function, items))


STAGE = Stage(
    name="flow",
    params=Params,
    reads={"rows": ["image", "height", "width", "person", "camera", "tracklet", "frame"]},
    schema=SCHEMA,
    build=build,
    weights=weights,
    batch_rows=batch_rows,
    rows_around=1,  # the next frame, and the one before, whose flow a last frame repeats
    needs_device=needs_device,
    libraries=("torch", "ptlflow"),
    reads_anywhere=reads_anywhere,
    unmatched=unmatched,
    notes=notes,
)
