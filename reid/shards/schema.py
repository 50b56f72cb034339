# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The columns of a shard row: the contract between ingest, derived stages and trainers.

A shard is a Parquet file in `<data set>/rows/`. Rows are sorted by (person, camera, tracklet,
frame, image_id). A derived stage writes files of the same names with the same rows in the same
order, so columns stand side by side without a join; `image_id` is in each and is checked.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from reid.project.errors import ReidError

SCHEMA_VERSION = 1  # readers accept versions up to their own

# The Hugging Face image convention: encoded bytes, and a path where the bytes are elsewhere.
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

ROW = pa.schema(
    [
        pa.field(
            "image_id", pa.string(), nullable=False
        ),  # POSIX path below the raw root, no ending
        pa.field("image", IMAGE),  # the file's own bytes (JPEG, PNG), never re-encoded
        pa.field("image_size", pa.int32()),  # length of image.bytes; null where absent
        pa.field("depth", IMAGE),  # 16-bit PNG, millimetres, 0 = no reading
        pa.field("depth_size", pa.int32()),
        pa.field("person", pa.int32(), nullable=False),  # as published; -1 junk, 0 distractor
        pa.field("train", pa.bool_(), nullable=False),  # roles under the default rule
        pa.field("query", pa.bool_(), nullable=False),
        pa.field("gallery", pa.bool_(), nullable=False),
        pa.field("camera", pa.int16(), nullable=False),
        pa.field("tracklet", pa.int32()),  # video only
        pa.field("frame", pa.int32()),  # orders a tracklet
        pa.field("viewpoint", pa.int8()),  # as published
        pa.field("height", pa.int32(), nullable=False),  # pixels of `image`
        pa.field("width", pa.int32(), nullable=False),
    ]
)

RANDOM_SPLITS = "all-"  # begins the names of shards whose rows have no part of their own
ORDER = ("person", "camera", "tracklet", "frame", "image_id")  # the sort order of rows


def check_rows(where: object, columns: pa.Schema) -> None:
    """Raises `ReidError` where a data set's shards lack a column of `ROW`, or it has another type.

    Depth, tracklets, frames and viewpoints may be absent; `where` is the folder.
    """
    for field in ROW:
        if field.name not in columns.names:
            if not field.nullable:
                raise ReidError(f"{where}: its shards have no column `{field.name}`")
        elif columns.field(field.name).type != field.type:
            kind = columns.field(field.name).type
            raise ReidError(f"{where}: column `{field.name}` is {kind}, not {field.type}")


def is_bytes_column(field: pa.Field) -> bool:
    """Whether a field holds encoded images: the struct of bytes and path."""
    return field.type == IMAGE


def hugging_face(schema: pa.Schema) -> str:
    """The value of the metadata key `huggingface`, so that `datasets` decodes image columns."""
    return json.dumps({"info": {"features": {f.name: _feature(f.type) for f in schema}}})


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == IMAGE:
        return {"_type": "Image"}
    if pa.types.is_fixed_size_list(kind):
        return {"_type": "Sequence", "length": kind.list_size, "feature": _feature(kind.value_type)}
    if pa.types.is_list(kind):
        return {"_type": "Sequence", "length": -1, "feature": _feature(kind.value_type)}
    name = {"float": "float32", "double": "float64"}.get(str(kind), str(kind))
    return {"_type": "Value", "dtype": name}
