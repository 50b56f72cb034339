"""Swapped images as a data set of its own: persons of training images before others' backgrounds.

Reads   1-shards (all columns), 2-derived/backgrounds
Writes  2-derived/swaps: rows of the base columns, and `source_image_id`, whose region and label an
        image has; `donor_image_id`, whose background; `seed`. Up to `per_image` for each training
        image, fewer where it has fewer partners, all for training
Source  Yaghoubi et al., implicit attention by swapped regions (`reid.arrays.swaps`)
Differs The paper swaps while it trains; here the same images are made beforehand, for programs
        that read files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.engine.run import generator
from pipeline.engine.stage import NewRows, Resources, Stage, TableStep
from reid.arrays import swaps
from reid.arrays.images import BadImage, decode, decode_mask, encode_jpeg, encode_png
from reid.project.params import DerivedParams
from reid.shards.folder import Shards
from reid.shards.schema import ROW

SCHEMA = pa.schema(
    [
        pa.field("source_image_id", pa.string(), nullable=False),
        pa.field("donor_image_id", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
    ]
)
COLUMNS = pa.schema([*ROW, *SCHEMA])


class Params(DerivedParams):
    per_image: Annotated[int, Field(ge=1)] = 1  # swapped images of each training image, at most
    quality: Annotated[int, Field(ge=0, le=100)] = 0  # of the images as JPEG; 0 = PNG
    seed: Annotated[int, Field(ge=0)] = 0


class Donors:
    """The backgrounds of all rows, by their numbers."""

    def __init__(self, anywhere: Mapping[str, Shards]) -> None:
        self.backgrounds = anywhere["backgrounds"]
        self.ids = anywhere["rows"].scalars(["image_id"])["image_id"].to_pylist()
        known = self.backgrounds.scalars(["background_size", "rectangle"])
        self.there = known["background_size"].is_valid().to_numpy()
        self.rectangles = known["rectangle"]

    def background(self, number: int) -> np.ndarray:
        return decode(self.backgrounds.read("background", number) or b"")

    def rectangle(self, number: int) -> swaps.Rectangle | None:
        return _rectangle(self.rectangles[number].as_py())


def build(params: Params, resources: Resources[None]) -> TableStep:
    """The stage's step, with the backgrounds of any row."""
    donors = Donors(resources.anywhere)

    def step(table: pa.Table) -> NewRows:
        made: list[dict[str, Any]] = []
        rejects: list[tuple[str, str]] = []
        for row in table.filter(table["train"]).to_pylist():
            try:
                made += _swap(row, donors, params)
            except BadImage as error:
                rejects.append((row["image_id"], str(error)))
        return pa.Table.from_pylist(made, COLUMNS), rejects

    return TableStep(step)


def _swap(row: dict[str, Any], donors: Donors, params: Params) -> list[dict[str, Any]]:
    """The new rows of one; the donors are drawn by the row alone."""
    there = [number for number in row["partners"] if donors.there[number]]
    if not there:
        return []
    count = min(params.per_image, len(there))
    drawn = generator(params.seed, row["image_id"]).choice(there, count, replace=False).tolist()
    region = decode_mask(row["region"]["bytes"])
    image = swaps.square(decode(row["image"]["bytes"]), len(region))
    source = _rectangle(row["rectangle"])
    labels = {name: row[name] for name in ROW.names if name in row}
    return [
        {
            **labels, **_picture(image, region, source, donor, donors, params),
            "image_id": f"{row['image_id']}~{n}", "query": False, "gallery": False,
            "source_image_id": row["image_id"], "donor_image_id": donors.ids[donor],
            "seed": params.seed,
        }
        for n, donor in enumerate(drawn)
    ]  # fmt: skip


def _picture(
    image: np.ndarray,
    region: np.ndarray,
    source: swaps.Rectangle | None,
    donor: int,
    donors: Donors,
    params: Params,
) -> dict[str, Any]:
    """The image columns of one new row."""
    pasted = swaps.paste(image, region, donors.background(donor), source, donors.rectangle(donor))
    data = encode_jpeg(pasted, params.quality) if params.quality else encode_png(pasted)
    size = {"height": pasted.shape[0], "width": pasted.shape[1]}
    return {"image": {"bytes": data, "path": None}, "image_size": len(data), **size}


def _rectangle(values: list[float] | None) -> swaps.Rectangle | None:
    if values is None:
        return None
    x1, y1, x2, y2 = (int(value) for value in values)
    return x1, y1, x2, y2


STAGE = Stage(
    name="swaps",
    params=Params,
    reads={
        "rows": [name for name in ROW.names if name not in ("image_id", "depth", "depth_size")],
        "backgrounds": ["region", "rectangle", "partners"],
    },
    schema=SCHEMA,
    build=build,
    reads_anywhere={"rows": ["image_id"], "backgrounds": ["background", "rectangle"]},
    new_rows=True,
)
