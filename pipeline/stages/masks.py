"""Person masks: which pixels of each image are the person that it is about.

Reads   1-shards (`image`, `height`, `width`)
Writes  2-derived/masks: `mask` (1-bit PNG of the image's size, set = person); `mask_score`, the
        detector's; `mask_box`, the mask's tight box x1, y1, x2, y2 in pixels, x2 and y2 just beyond
        its last pixels; `mask_area` in pixels
Source  a library's instance segmentation (`backend` torchvision, detectron2 or ultralytics), or
        masks that are already there (`given`). Of several people the one is taken whose mask
        overlaps the image's middle most (`pipeline.backends.masks.person_mask`).

A row is rejected where its image cannot be decoded, the network finds nobody, there is no given
mask or one of another size, the mask is empty, or it covers more than `max_area` of the image. By
default that is never: a tight crop may be all person. Whoever minds finds it in `mask_area`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.backends.given import reads_anywhere
from pipeline.backends.masks import BACKENDS
from pipeline.backends.masks import given as masks_given
from pipeline.backends.masks.person_mask import PersonMask
from pipeline.backends.weights import identity
from pipeline.engine.stage import Resources, Stage, Step
from reid.arrays.images import BadImage, Decoded, decode_all, decode_mask, encode_png
from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE

SCHEMA = pa.schema(
    [
        pa.field("mask", IMAGE),
        pa.field("mask_size", pa.int32()),
        pa.field("mask_score", pa.float32()),
        pa.field("mask_box", pa.list_(pa.float32(), 4)),
        pa.field("mask_area", pa.int32()),
    ]
)
LOOKED_AT = 256  # masks of a build, whether they may be inverted
MAX_ASPECT = 20  # an image longer than this many times its width is no crop of a person


class Params(DerivedParams):
    backend: Literal["torchvision", "detectron2", "ultralytics", "given"] = "torchvision"
    model: str = ""  # the library's own name of a model or its config; '' = the backend's default
    weights: str = "pretrained"  # or world, random, a path: see pipeline/backends/choices.py
    trusted: bool = False  # whether a weights file may run code when it is loaded (pickle)
    # Images are scaled so that their shorter side is this many pixels, and their longer not more
    # than that: a crop of 128 x 64 becomes 512 x 256, where a person is as large as in COCO.
    shortest_side: Annotated[int, Field(ge=32)] = 256
    longest_side: Annotated[int, Field(ge=32)] = 1024
    person_score: Annotated[float, Field(ge=0, le=1)] = 0.1  # weaker detections are nobody
    mask_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5  # less probable pixels are background
    max_area: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of the image; 1 = any mask is kept
    batch: Annotated[int, Field(ge=1)] = 16  # images a network call
    path: str = ""  # given: a file or folder of masks; see pipeline/backends/masks/given.py

    @model_validator(mode="after")
    def _path_if_given(self) -> Params:
        if (self.backend == "given") != bool(self.path):
            raise ValueError("`path` goes with backend `given`, and it needs one")
        if self.longest_side < self.shortest_side:
            raise ValueError("`longest_side` must not be below `shortest_side`")
        return self


def batch_rows(params: Params) -> int:
    return 256 if params.backend == "given" else params.batch


def needs_device(params: Params) -> bool:
    return params.backend != "given"


def weights(params: Params, root: Path) -> str:
    """What decides the masks beside the parameters: a hash of the given labels or the weights."""
    if params.backend == "given":
        return masks_given.load(root / params.path).digest()
    return identity("masks", params, root)


def build(params: Params, resources: Resources[None]) -> Step:
    """The stage's step: a `Given` over tables, or an `Estimate` over what its `prepare` decoded."""
    if params.backend == "given":
        labels = masks_given.load(Path(params.path))
        labels.among_rows(resources.anywhere)
        return Given(labels, params.max_area)
    return Estimate(BACKENDS[params.backend](params, resources.device), params.max_area)


def unmatched(params: Params, image_ids: Iterable[str]) -> list[str]:
    """The given labels that belong to none of the images; empty for other backends."""
    if params.backend != "given":
        return []
    return masks_given.load(Path(params.path)).unmatched(image_ids)


def notes(params: Params, rows: Shards, folder: Path) -> list[str]:
    """Whether given masks look as if background were their person: no file says which is."""
    del rows
    if params.backend != "given":
        return []
    encoded = Shards(folder).shards[0].table(["mask"])["mask"].slice(0, LOOKED_AT).to_pylist()
    masks = [decode_mask(cell["bytes"]) for cell in encoded if cell]
    odd = sum(_is_inverted(mask) for mask in masks)
    if 2 * odd <= len(masks):
        return []
    return [
        f"in {odd} of the first {len(masks)} masks all four corners are the person's and the "
        "middle is not: are they inverted?"
    ]


def _is_inverted(mask: np.ndarray) -> bool:
    """Whether an (H, W) bool mask has its four corners and not its middle."""
    height, width = mask.shape
    return bool(mask[[0, 0, -1, -1], [0, -1, 0, -1]].all()) and not mask[height // 2, width // 2]


class Given(Step):
    """Looks masks up by image_id."""

    def __init__(self, labels: masks_given.Labels, max_area: float):
        self.labels, self.max_area = labels, max_area

    def __call__(self, ready: pa.Table) -> pa.Table:
        rows = ready.select(["image_id", "height", "width"]).to_pylist()
        results = [self._find(**row) for row in rows]
        return to_table([m for m, _ in results], [reason for _, reason in results], self.max_area)

    def _find(self, image_id: str, height: int, width: int) -> tuple[PersonMask | None, str | None]:
        try:
            person = self.labels.find(image_id)
        except BadImage as error:
            return None, f"given mask: {error}"
        if person is None:
            return None, "no mask given"
        have = person.mask.shape
        if have != (height, width):
            size = f"{have[1]} x {have[0]} pixels, of the image {width} x {height}"
            return None, f"given mask: {size}"
        return person, None


class Estimate(Step):
    """Runs a segmentation network; a batch's images go in together."""

    def __init__(
        self, network: Callable[[list[np.ndarray]], list[PersonMask | None]], max_area: float
    ):
        self.network, self.max_area = network, max_area

    def prepare(self, table: pa.Table) -> Decoded:
        images, reasons = decode_all(table["image"].to_pylist())
        for index, image in enumerate(images):
            if image is not None and max(image.shape[:2]) > MAX_ASPECT * min(image.shape[:2]):
                images[index] = None
                reasons[index] = f"{image.shape[1]} x {image.shape[0]} pixels: too thin"
        return Decoded(images, reasons)

    def __call__(self, ready: Decoded) -> pa.Table:
        good = [image for image in ready.images if image is not None]
        results = iter(self.network(good) if good else [])
        masks = [None if image is None else next(results) for image in ready.images]
        nobody = ["no person found" if m is None else None for m in masks]
        reasons = [r or n for r, n in zip(ready.reasons, nobody, strict=True)]
        return to_table(masks, reasons, self.max_area)


def to_table(
    masks: Iterable[PersonMask | None], reasons: Iterable[str | None], max_area: float
) -> pa.Table:
    """Masks, or reasons why there are none, as the stage's columns."""
    rows = [_row(mask, reason, max_area) for mask, reason in zip(masks, reasons, strict=True)]
    return pa.Table.from_pylist(rows, SCHEMA.append(pa.field("reject", pa.string())))


def _row(person: PersonMask | None, reason: str | None, max_area: float) -> dict[str, Any]:
    if person is None or reason is not None:
        return {"reject": reason}
    area = int(np.count_nonzero(person.mask))
    if area == 0:
        return {"reject": "empty mask"}
    if area > max_area * person.mask.size:
        return {"reject": f"the mask covers {area / person.mask.size:.2f} of the image"}
    data = encode_png(person.mask)
    return {
        "mask": {"bytes": data, "path": None}, "mask_size": len(data), "mask_score": person.score,
        "mask_box": tight_box(person.mask), "mask_area": area,
    }  # fmt: skip


def tight_box(mask: np.ndarray) -> list[int]:
    """x1, y1, x2, y2 of an (H, W) bool mask that is not empty; x2, y2 beyond the last pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


STAGE = Stage(
    name="masks",
    params=Params,
    reads={"rows": ["image", "height", "width"]},
    schema=SCHEMA,
    build=build,
    weights=weights,
    batch_rows=batch_rows,
    needs_device=needs_device,
    libraries=("torch", "torchvision", "detectron2", "ultralytics", "pycocotools"),
    reads_anywhere=reads_anywhere,
    unmatched=unmatched,
    notes=notes,
)
