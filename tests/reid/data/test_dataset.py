"""Opening built data: columns side by side, roles, batches, torch, and clear errors."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

import reid
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.arrays import images
from reid.data.views import Views
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import contents
from tests.served import served


@pytest.fixture
def data(toy: Project) -> reid.Data:
    for name in ("ingest", "joints", "parts"):
        engine.run(make_plan(name, "toy", toy), toy, executor="local")
    return reid.open("data", "toy", columns=["image", "parts", "joints"])


def test_columns_of_several_stages_stand_side_by_side(data: reid.Data, toy: Project):
    assert len(data) == 72
    for position in (0, 40, 71):
        row = data[position]
        raw = (toy.raw("toy") / f"{row['image_id']}.jpg").read_bytes()
        np.testing.assert_array_equal(row["image"], images.decode(raw))
        assert row["parts"].shape == (5, 4)
        assert row["joints"].shape == (18, 3)
        assert int(row["image_id"].split("/")[1][:4]) == row["person"]


@pytest.mark.parametrize("position", [[1, 2], "person", None, 1.0, True, np.True_])
def test_what_is_no_row_is_told(data: reid.Data, position: object):
    with pytest.raises(ReidError, match=r"^toy: .* is no row: give a number"):
        data[position]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_roles_choose_rows(data: reid.Data):
    assert [len(data.role(r)) for r in ("train", "query", "gallery")] == [36, 12, 24]
    assert set(data.role("train").labels("person")) == {1, 3, 5, 7}
    with pytest.raises(ReidError, match="no role `probe`"):
        data.role("probe")


def test_batches_and_torch_give_the_same_rows(data: reid.Data):
    from torch.utils.data import DataLoader

    query = data.role("query")
    ids = [row["image_id"] for batch in query.batches(5) for row in batch]
    assert ids == query.rows["image_id"].to_pylist()
    chosen = query.torch(transform=lambda row: row["image_id"])
    loader = DataLoader(chosen, batch_size=5, num_workers=0, collate_fn=list)  # type: ignore[arg-type]
    assert [i for batch in loader for i in batch] == ids


def test_a_mask_gives_labels_and_images_of_the_same_rows(data: reid.Data):
    mask = data.labels("query").astype(bool)
    rows = data.__getitems__(mask)
    assert [row["image_id"] for row in rows] == data.role("query").rows["image_id"].to_pylist()
    np.testing.assert_array_equal(rows[3]["image"], data.role("query")[3]["image"])


def test_no_rows_are_no_rows_however_they_are_asked_for(data: reid.Data):
    for none in ([], (), range(0), np.empty(0), np.zeros(len(data), bool)):
        assert data.__getitems__(none) == []
        assert data.torch().__getitems__(none) == []
        assert data.values("image", none) == []
        assert len(data.choose(none)) == 0
    with pytest.raises(ReidError, match="a mask of shape"):
        data.choose(np.zeros(0, bool))


def test_it_travels_to_other_processes(data: reid.Data):
    copy = pickle.loads(pickle.dumps(data.role("query")))
    np.testing.assert_array_equal(copy[3]["image"], data.role("query")[3]["image"])


def test_a_label_by_file_name_and_a_plain_parquet_reader_agree(data: reid.Data, toy: Project):
    tables = [pq.read_table(p) for p in sorted((toy.shards("toy") / "rows").iterdir())]
    people = [person for table in tables for person in table["person"].to_pylist()]
    assert data.labels("person").tolist() == people


@pytest.mark.parametrize(
    ("dataset", "columns", "message"),
    [
        pytest.param("tay", ["image"], "run `reid ingest tay`", id="a data set that is not built"),
        pytest.param("toy", ["masks"], "no column `masks`", id="a column that is not built"),
        pytest.param("toy", ["joints.parts"], "no column", id="a column of another stage"),
    ],
)
def test_what_is_not_there_is_said(data: reid.Data, dataset, columns, message):
    with pytest.raises(ReidError, match=message):
        reid.open("data", dataset, columns)


def test_a_stage_of_other_rows_is_refused(data: reid.Data, toy: Project):
    folder = toy.derived("parts", "toy") / "rows"
    first, second = sorted(folder.iterdir())[:2]
    first.unlink()
    first.write_bytes(second.read_bytes())
    with pytest.raises(ReidError):
        reid.open("data", "toy", ["parts"])


def test_a_flipped_bit_is_found_before_a_row_is_read(data: reid.Data, toy: Project):
    path = next((toy.derived("parts", "toy") / "rows").iterdir())
    sound = path.read_bytes()
    path.unlink()  # the work folder has the same file
    path.write_bytes(sound[:60] + bytes([sound[60] ^ 1]) + sound[61:])
    said = r"damaged: not the bytes that were built.*; run `reid parts toy --repair`"
    with pytest.raises(ReidError, match=said):
        reid.open("data", "toy", columns=["parts"])
    assert len(reid.open("data", "toy", columns=["image"])) == len(data), "parts are not read"
    assert len(reid.open("data", "toy", columns=["parts"], verify=False)) == len(data)


def test_rows_with_a_missing_column_can_be_left_out(data: reid.Data):
    assert len(data.complete()) == 72


@pytest.mark.parametrize("resident", ["memory", "off"])
def test_views_give_the_same_samples_wherever_they_lie(data: reid.Data, resident: str):
    import torch

    views = Views(data, lambda row: {"image": row["image"]}, torch.device("cpu"), resident)
    assert views.resident == resident
    order = [np.array([3, 1]), np.array([70, 0, 5])]
    found = list(views.batches(order))
    assert [rows.tolist() for rows, _ in found] == [[3, 1], [70, 0, 5]]
    np.testing.assert_array_equal(found[1][1]["image"][2].numpy(), data[5]["image"])


def test_a_rule_by_name_gives_the_rows_its_roles(data: reid.Data):
    data.protocol["protocols"].append(
        {"name": "split", "members": {"train": {"persons": [2, 4]}, "test": {"persons": [1, 7]}}}
    )
    split = data.under("split")
    assert split.protocol_in_force()["name"] == "split"
    assert set(split.role("train").labels("person")) == {2, 4}
    for role in ("query", "gallery"):
        assert set(split.role(role).labels("person")) == {1, 7}
        assert len(split.role(role)) == 18, "every image of a test person is both"
    assert len(data.under("").role("train")) == 36
    further = {"columns_and": {"gallery": {"persons": [3], "cameras": [1, 2]}}}
    data.protocol["protocols"].append({"name": "more", "members": further})
    more = data.under("more")
    assert [len(more.role(r)) for r in ("train", "query", "gallery")] == [36, 12, 24 + 6]
    assert data.protocol_in_force()["name"] == "market1501"
    with pytest.raises(ReidError, match=r"no protocol `new` \(there are market1501, split, more\)"):
        data.under("new")


class TestByAddress:
    def test_rows_are_the_same_by_http(self, data: reid.Data):
        pytest.importorskip("aiohttp")
        with served(Path()) as server:
            remote = reid.open(f"{server.url}/data", "toy", ["image", "parts", "joints"])
            assert remote.rows.equals(data.rows)
            for ours, theirs in zip(
                data.role("query").batches(7), remote.role("query").batches(7), strict=True
            ):
                for row, same in zip(ours, theirs, strict=True):
                    np.testing.assert_equal(same, row)
            assert remote.protocol_in_force() == data.protocol_in_force()

    def test_http_that_lists_nothing_needs_the_stage_s_name(self, data: reid.Data):
        pytest.importorskip("aiohttp")
        with served(Path(), listing=False) as server:
            scores = reid.open(f"{server.url}/data", "toy", ["joints.joints_score", "parts"])
            local = reid.open("data", "toy", ["joints_score"])
            assert scores[5]["joints.joints_score"] == local[5]["joints_score"]
            with pytest.raises(ReidError, match=r"name the stage too: `<stage>.joints_score`"):
                reid.open(f"{server.url}/data", "toy", ["joints_score"])

    def test_a_file_system_given_as_an_object(self, data: reid.Data):
        files = fsspec.filesystem("memory")
        for name, content in contents(Path("data")).items():
            files.pipe_file(f"/held/{name}", content)
        for remote in (
            reid.open("held", "toy", ["joints_score"], filesystem=files),
            reid.open("memory://held", "toy", ["joints_score"]),
        ):
            assert remote.complete().rows.equals(data.rows)
            assert "joints_score" in pickle.loads(pickle.dumps(remote))[0]
        with pytest.raises(ReidError, match=r"memory:///held/1-shards/tay: no manifest.json"):
            reid.open("memory://held", "tay")
        with pytest.raises(
            ReidError, match=r"toy has no column `masks` in memory:///held/1-shards"
        ):
            reid.open("memory://held", "toy", ["masks"])

    def test_an_address_of_this_machine_is_a_path(self, data: reid.Data):
        opened = reid.open(f"file://{Path('data').resolve()}", "toy")
        assert opened.base.folder == Path("data/1-shards/toy").resolve()
