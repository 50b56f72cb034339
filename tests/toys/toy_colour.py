"""The mean colour of each image, but for its border.

Reads   1-shards (`image`)
Writes  2-derived/toy_colour: `toy_colour`, mean red, green and blue, 0 to 255
Source  made up, for a test
Differs from nothing
"""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field

from pipeline.engine.stage import Resources, Stage, TableStep
from reid.arrays.images import BadImage, decode
from reid.project.params import DerivedParams

SCHEMA = pa.schema([pa.field("toy_colour", pa.list_(pa.float32(), 3))])


class Params(DerivedParams):
    border: Annotated[float, Field(ge=0, lt=0.5)] = 0.25  # share of each side that is left out


def build(params: Params, resources: Resources[None]) -> TableStep:
    """The stage's step: a row whose image cannot be decoded is rejected."""
    del resources

    def row(data: bytes) -> dict[str, Any]:
        try:
            image = decode(data)
        except BadImage as error:
            return {"reject": str(error)}
        height, width = image.shape[:2]
        top, left = int(params.border * height), int(params.border * width)
        inner = image[top : height - top, left : width - left]
        return {"toy_colour": inner.mean((0, 1)).tolist()}

    def step(table: pa.Table) -> pa.Table:
        rows = [row(cell["bytes"]) for cell in table["image"].to_pylist()]
        return pa.Table.from_pylist(rows, SCHEMA.append(pa.field("reject", pa.string())))

    return TableStep(step)


STAGE = Stage(
    name="toy_colour", params=Params, reads={"rows": ["image"]}, schema=SCHEMA, build=build
)
