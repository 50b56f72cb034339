"""The joints stage: rows in, rows out, and why a row is rejected."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.engine.stage import Resources
from pipeline.stages import joints
from pipeline.stages.joints import Estimate, Params, batch_rows, build, needs_device, weights
from reid.arrays.images import encode_jpeg, encode_png
from reid.arrays.poses import joints_array, joints_column
from reid.project.errors import ReidError
from reid.shards.schema import IMAGE

JOINTS = np.arange(54, dtype=np.float32).reshape(18, 3) / 54


def write_labels(path, image_ids):
    column = joints_column(np.stack([JOINTS + i for i in range(len(image_ids))]))
    pq.write_table(pa.table({"image_id": image_ids, "joints": column}), path)


def image_table(images):
    column = [None if i is None else {"bytes": i, "path": None} for i in images]
    ids = [f"a/{index}" for index in range(len(images))]
    return pa.table({"image_id": ids, "image": pa.array(column, IMAGE)})


def test_given_joints_keep_the_rows_in_order(tmp_path):
    write_labels(tmp_path / "j.parquet", ["a/2", "a/0"])
    step = build(Params(backend="given", path=str(tmp_path / "j.parquet")), Resources())
    result = step(image_table([b"", b"", b""]))
    assert result["reject"].to_pylist() == [None, "no joints given", None]
    assert result.select(joints.SCHEMA.names).schema == joints.SCHEMA
    assert result["joints"].null_count == result["joints_score"].null_count == 1
    computed = joints_array(result["joints"])
    np.testing.assert_array_equal(computed[[0, 2]], [JOINTS + 1, JOINTS])
    assert result["joints_score"][2].as_py() == pytest.approx(JOINTS[:, 2].mean())


def test_estimate_decodes_ahead_and_keeps_bad_rows_in_place():
    images = [np.full((8, 4, 3), value, np.uint8) for value in (10, 20, 30)]
    data = [encode_png(images[0]), b"", None, encode_jpeg(images[1])[:40], encode_png(images[2])]
    calls = []

    def network(batch):
        calls.append([int(image[0, 0, 0]) for image in batch])
        return [None, JOINTS]

    step = Estimate(network)
    result = step(step.prepare(image_table(data)))
    assert calls == [[10, 30]]  # one call, of the good images alone
    reasons = result["reject"].to_pylist()
    assert reasons[:3] == ["no person found", "empty file", "no image"]
    assert "JPEG" in reasons[3]
    assert reasons[4] is None
    assert np.isnan(joints_array(result["joints"])[:4]).all()
    np.testing.assert_array_equal(joints_array(result["joints"])[4], JOINTS)


def test_a_batch_of_bad_rows_alone_does_not_reach_the_network():
    step = Estimate(lambda images: pytest.fail("called"))
    assert step(step.prepare(image_table([b"", None])))["joints"].null_count == 2


def test_batches_and_device_follow_the_backend():
    assert batch_rows(Params(backend="given", path="x")) == 2048
    assert batch_rows(Params(batch=16)) == 16
    assert needs_device(Params())
    assert not needs_device(Params(backend="given", path="x"))


def test_weights_are_identified_by_content(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert weights(Params(weights="w.pth"), tmp_path) == sha256
    name = "joints mmpose rtmpose-m_8xb256-420e_coco-256x192"
    pin = {"address": "https://example.org/n.pt", "file": "n.pt", "bytes": 1, "sha256": sha256}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.json").write_text(json.dumps({name: pin}))
    assert weights(Params(), tmp_path) == sha256
    with pytest.raises(ReidError, match="no such weights file"):
        weights(Params(weights="missing.pth"), tmp_path)


def test_given_labels_are_identified_by_content(tmp_path):
    params = Params(backend="given", path="j.parquet")
    computed = []
    for names in (["a", "b"], ["a", "b"], ["a", "c"]):
        write_labels(tmp_path / "j.parquet", names)
        computed.append(weights(params, tmp_path))
    assert computed[0] == computed[1] != computed[2]


def test_unmatched_labels(tmp_path):
    write_labels(tmp_path / "j.parquet", ["a/0", "a/1", "a/2"])
    params = Params(backend="given", path=str(tmp_path / "j.parquet"))
    assert joints.unmatched(params, ["a/0", "a/2", "a/9"]) == ["a/1"]
    assert joints.unmatched(Params(), ["a/0"]) == []


class Rows:
    """In place of the shards of a data set."""

    def __init__(self, *image_ids: str):
        self.table = pa.table({"image_id": [*image_ids]})

    def scalars(self, columns: list[str]) -> pa.Table:
        return self.table.select(columns)


def test_a_bare_name_is_refused_before_any_row_where_another_shard_has_it_too(tmp_path):
    header = ",".join(["image_id", *(f"{axis}{i}" for i in range(18) for axis in "xyc")])
    (tmp_path / "j.csv").write_text(f"{header}\n0001{',1' * 54}\n")
    params = Params(backend="given", path=str(tmp_path / "j.csv"))
    assert joints.reads_anywhere(params) == {"rows": ["image_id"]}
    assert joints.reads_anywhere(Params()) == {}
    joints.build(params, Resources(anywhere={"rows": Rows("a/0001", "a/0002")}))
    with pytest.raises(ReidError, match="0001 fits both a/0001 and b/0001"):
        joints.build(params, Resources(anywhere={"rows": Rows("a/0001", "b/0001")}))


def test_a_label_that_cannot_be_used_is_a_reject_with_its_reason(tmp_path):
    bad = {"image_id": "b", "keypoints": [1, 2]}
    good = {"image_id": "a", "keypoints": [1] * 51}
    entries = [good, bad, {**good, "keypoints": []}, {**good, "keypoints": None}]
    (tmp_path / "j.json").write_text(json.dumps(entries))
    params = Params(backend="given", path=str(tmp_path / "j.json"))
    computed = joints.build(params, Resources())(pa.table({"image_id": ["a", "b", "c"]}))
    assert computed["reject"].to_pylist()[0::2] == [None, "no joints given"]
    assert computed["reject"][1].as_py().startswith("given joints: 2 numbers")
    (note,) = joints.notes(params, None, tmp_path)
    assert note.startswith("1 images have labels that are passed over: a: 0 numbers")
