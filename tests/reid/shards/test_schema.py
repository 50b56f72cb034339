"""The columns of a row."""

from __future__ import annotations

import json

import pyarrow as pa

from reid.arrays import poses
from reid.shards import schema


def test_every_image_column_is_followed_by_its_int32_size():
    names = schema.ROW.names
    for i, field in enumerate(schema.ROW):
        if schema.is_bytes_column(field):
            assert names[i + 1] == f"{field.name}_size"
            assert schema.ROW.field(i + 1).type == pa.int32()


def test_the_sort_order_names_columns():
    assert set(schema.ORDER) <= set(schema.ROW.names)


def test_image_columns_are_the_structs_alone():
    found = [field.name for field in schema.ROW if schema.is_bytes_column(field)]
    assert found == ["image", "depth"]


def test_eighteen_joints():
    assert len(poses.JOINT_NAMES) == len(set(poses.JOINT_NAMES)) == 18
    assert poses.JOINTS.list_size == 18
    assert poses.JOINT_NAMES[1] == "neck"


def test_hugging_face_features():
    columns = pa.schema(
        [
            pa.field("image", schema.IMAGE),
            pa.field("joints", poses.JOINTS),
            pa.field("score", pa.float64()),
            pa.field("names", pa.list_(pa.string())),
        ]
    )
    features = json.loads(schema.hugging_face(columns))["info"]["features"]
    point = {"_type": "Sequence", "length": 3, "feature": {"_type": "Value", "dtype": "float32"}}
    text = {"_type": "Value", "dtype": "string"}
    assert features == {
        "image": {"_type": "Image"},
        "joints": {"_type": "Sequence", "length": 18, "feature": point},
        "score": {"_type": "Value", "dtype": "float64"},
        "names": {"_type": "Sequence", "length": -1, "feature": text},
    }
